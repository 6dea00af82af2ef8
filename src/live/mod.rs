//! Frames of a network interface, as they pass.
//!
//! Does: open an interface, let the kernel leave out what FTP does not need, stamp frames with the kernel's time
//! and count what was dropped. Does not: look into frames, or send any. Called by `cli`. packet(7).

mod error;
mod filter;
mod interface;

use std::io::{IoSliceMut, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd};
use std::time::{Duration, SystemTime};

use nix::cmsg_space;
use nix::sys::socket::sockopt::{ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use socket2::{Domain, Socket, Type};

use crate::capture::Frame;

pub use error::LiveError;
pub use filter::{Filter, Instruction, Wanted};
pub use interface::Kind;

use interface::Interface;

/// An interface whose frames are read.
#[derive(Debug)]
pub struct Live {
    name: String,
    socket: Socket,
    link_type: u32,
    buffer: Vec<u8>,
    control: Vec<u8>,
    frames: u64,
    dropped: u32,
}

impl Live {
    /// Opens the interface `name` for the frames that are `wanted`; with `promiscuous` also for those that are sent
    /// to others. Wants CAP_NET_RAW, from here on no more.
    ///
    /// # Errors
    /// There is no such interface, it is down, or the process may not listen.
    pub fn open(name: &str, promiscuous: bool, wanted: &Wanted) -> std::result::Result<Self, LiveError> {
        let interface = Interface::find(name)?;
        let failed = |error| LiveError::open(name, error);
        let socket = socket(&interface, wanted).map_err(failed)?;
        interface.attach(socket.try_clone().map_err(failed)?.into_raw_fd(), promiscuous).map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            socket,
            link_type: interface.kind.link_type(),
            buffer: vec![0; BUFFER_BYTES],
            control: cmsg_space!(TimeSpec, u32),
            frames: 0,
            dropped: 0,
        })
    }

    /// The next frame; `None` when none waits.
    ///
    /// # Errors
    /// The interface is gone or was taken down.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend its items")]
    pub fn next(&mut self) -> std::result::Result<Option<Frame<'_>>, LiveError> {
        let (bytes, at) = match self.receive() {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
            Err(source) => return Err(LiveError::Read { interface: self.name.clone(), source }),
        };
        self.frames += 1;
        let data = self.buffer.get(..bytes).unwrap_or(&self.buffer);
        Ok(Some(Frame { number: self.frames, at, link_type: self.link_type, data, length: data.len() }))
    }

    /// How many frames the kernel had to drop before the last one that was read, for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.into()
    }

    fn receive(&mut self) -> Result<(usize, Duration)> {
        let Self { socket, buffer, control, dropped, .. } = self;
        let mut into = [IoSliceMut::new(buffer)];
        let fd = socket.as_raw_fd();
        let message = recvmsg::<()>(fd, &mut into, Some(control), MsgFlags::MSG_DONTWAIT)?;
        let mut at = None;
        for said in message.cmsgs()? {
            match said {
                ControlMessageOwned::ScmTimestampns(time) => at = Some(Duration::from(time)),
                ControlMessageOwned::RxqOvfl(count) => *dropped = count,
                _ => {}
            }
        }
        Ok((message.bytes, at.unwrap_or_else(since_epoch)))
    }
}

impl AsFd for Live {
    /// Readable when a frame waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The time since 1970 UTC by the system's clock, which stamps frames as well.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// A socket that receives nothing before it is attached to its interface, and nothing but what is wanted then.
fn socket(interface: &Interface, wanted: &Wanted) -> Result<Socket> {
    let with_link_header = match interface.kind {
        Kind::Ethernet | Kind::Loopback => Type::RAW,
        // The kernel takes headers off that only it knows.
        Kind::Other => Type::DGRAM,
    };
    let socket = Socket::new(Domain::PACKET, with_link_header, None)?;
    socket.attach_filter(&Filter::new(interface.kind, wanted).for_kernel())?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    setsockopt(&socket, RxqOvfl, &1)?;
    match set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES) {
        Err(Errno::PERM) => set_socket_recv_buffer_size(&socket, QUEUE_BYTES)?,
        forced => forced?,
    }
    Ok(socket)
}

/// The longest frame that is read: segments that the network card puts together included.
const BUFFER_BYTES: usize = 1 << 20;

/// What may wait to be read. Without CAP_NET_ADMIN the system's limit is less.
const QUEUE_BYTES: usize = 16 << 20;
