//! What the fuzz targets do. The gateway's tests run the same bodies over the seed corpus.

pub mod bodies;
#[path = "../../tests/it/pair.rs"]
pub mod pair;
