//! The fuzz targets over their seed corpus and some thousand mutations of it.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/bodies.rs"]
mod bodies;

/// The seeds of a target, by name.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{target} has seeds");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Marsaglia's xorshift: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes.insert(at, random.below(256) as u8),
            2 => {
                bytes.drain(at..bytes.len().min(at + 1 + random.below(4)));
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                bytes.splice(at..at, other[from..].iter().copied());
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

fn smoke(target: &str, body: fn(&[u8]), mutations: usize) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| body(seed));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..mutations {
        body(&mutate(&mut random, &seeds));
    }
}

#[test]
fn line_holds_over_mutated_seeds() {
    smoke("line", bodies::line, 2000);
}

#[test]
fn reply_holds_over_mutated_seeds() {
    smoke("reply", bodies::reply, 2000);
}

#[test]
fn host_port_holds_over_mutated_seeds() {
    smoke("host_port", bodies::host_port, 5000);
}

#[test]
fn session_holds_over_mutated_seeds() {
    smoke("session", bodies::session, 1000);
}

#[test]
fn capture_holds_over_mutated_seeds() {
    smoke("capture", bodies::capture, 3000);
}

#[test]
fn replay_holds_over_mutated_seeds() {
    smoke("replay", bodies::replay, 1500);
}
