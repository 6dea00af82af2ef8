//! What time alone makes due: gates to set anew, elements and entries of no use any more, a lost table.

use std::io;
use std::time::{Duration, Instant};

use super::{State, warn};
use crate::firewall::nftables::pinhole::{Phase, Pinhole};
use crate::ids::PinholeId;
use crate::netlink::{Entry, Flow, TableState};

/// How long a cut connection keeps its entry, so that whatever its ends send still meets a reset.
const GRAVE: Duration = Duration::from_secs(30);

impl State {
    /// Takes out what is of no use any more.
    pub(crate) fn clean(&mut self, now: Instant) {
        while let Some(&(when, flow)) = self.graves.front()
            && now.duration_since(when) > GRAVE
        {
            self.graves.pop_front();
            warn(self.remove_grave(&flow));
        }
        self.flush();
    }

    /// Takes out the elements of no use any more.
    pub(crate) fn flush(&mut self) {
        if !self.stale.is_empty() {
            let _ = self.apply(Vec::new());
        }
    }

    /// Deletes the entry of a connection that was cut, unless another has its addresses and ports by now.
    fn remove_grave(&mut self, flow: &Flow) -> io::Result<()> {
        let (cut, mask) = (self.mark.low(), self.mark.mask());
        if self.conntrack.get(flow)?.is_some_and(|entry| entry.mark & mask == cut) {
            self.conntrack.delete(flow)?;
        }
        Ok(())
    }

    /// Sets the gates anew that are still wanted: a server may take its time to dial.
    pub(crate) fn renew(&mut self, now: Instant) {
        let due: Vec<_> =
            self.pinholes.iter().filter(|(_, pinhole)| pinhole.is_due(now)).map(|(id, _)| *id).collect();
        for id in due {
            self.set_anew(id, now);
        }
    }

    fn set_anew(&mut self, id: PinholeId, now: Instant) {
        let Some(pinhole) = self.pinholes.get_mut(&id) else { return };
        pinhole.set = now;
        let mut changes = vec![pinhole.spec.shut()];
        changes.extend(pinhole.spec.clear(pinhole.allowed()));
        changes.extend(pinhole.spec.open(pinhole.allowed(), pinhole.timeout()));
        let _ = self.apply(changes);
    }

    /// Whether the table is still `sound`; if not, nothing opens until it is [put back](Self::repopulate).
    pub(crate) fn check_table(&mut self, sound: TableState) -> bool {
        let found = self.table().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look at the table");
            Some(sound)
        });
        self.intact &= found == Some(sound);
        self.intact
    }

    /// Puts every pending pinhole into a table that is new.
    pub(crate) fn repopulate(&mut self) {
        self.intact = true;
        self.stale.clear();
        let now = Instant::now();
        let open =
            |(id, pinhole): (&PinholeId, &Pinhole)| matches!(pinhole.phase, Phase::Open).then_some(*id);
        let open: Vec<_> = self.pinholes.iter().filter_map(open).collect();
        for id in open {
            self.set_anew(id, now);
        }
        let ranges = self.range_elements();
        let _ = self.apply(ranges);
    }

    /// Cleans up for the last time; tells how many connections run in the kernel.
    pub(crate) fn wind_up(&mut self) -> usize {
        self.clean(Instant::now() + GRAVE + Duration::from_secs(1));
        let (value, mut running) = (self.mark.value(), 0);
        let count = |entry: Entry| running += usize::from(!entry.is_over());
        if let Err(error) = self.conntrack.dump(value, value, count) {
            tracing::error!(%error, "cannot look at connections");
        }
        running
    }
}
