//! What a socket that is behind has yet to be sent.

use std::{collections::VecDeque, io, io::IoSlice};

use bytes::Bytes;

use crate::protocol::{Frame, frame};

/// Slices of one vectored write; the kernel takes up to 1,024, and more than a few dozen gain nothing.
const MAX_SLICES: usize = 64;

/// Frames that wait for a socket to become writable. Exists only while there are any.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Runs of whole frames. They are shared with other sockets' backlogs, not copied.
    runs: VecDeque<Bytes>,
    /// How much of the first run has been written.
    written: usize,
    /// How much is left to write.
    bytes: usize,
}

impl Backlog {
    /// What is left of `run` when `written` bytes of it are gone.
    pub(super) fn of(run: &Bytes, written: usize) -> Self {
        Self { runs: VecDeque::from([run.clone()]), written, bytes: run.len() - written }
    }

    /// Appends a run of whole frames.
    pub(super) fn push(&mut self, run: &Bytes) {
        self.bytes += run.len();
        self.runs.push_back(run.clone());
    }

    /// How many bytes are left to write.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Hands what is left to `write`, in one call as far as it goes, and drops what that took.
    pub(super) fn write_with(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, run) in slices.iter_mut().zip(&self.runs) {
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&run[skip..]);
            count += 1;
        }
        let written = write(&slices[..count])?;
        self.advance(written);
        Ok(())
    }

    /// Gives up everything but the frame that has been written in part, which must be completed, and says `goodbye`
    /// behind it.
    pub(super) fn cut(&mut self, goodbye: &Frame) {
        let rest = self.runs.front().map(|run| {
            let end = frame::boundary_at_or_after(run, self.written);
            // A copy of its own: what is kept must not keep the whole run in memory.
            Bytes::copy_from_slice(&run[self.written..end])
        });
        *self = Self::of(&rest.unwrap_or_default(), 0);
        self.push(goodbye.bytes());
    }

    fn advance(&mut self, written: usize) {
        self.bytes -= written;
        self.written += written;
        while let Some(run) = self.runs.front()
            && self.written >= run.len()
        {
            self.written -= run.len();
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Close, event};

    /// Everything that is left, as it goes out when the socket takes `step` bytes at a time.
    fn drain(backlog: &mut Backlog, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !backlog.is_empty() {
            let write = |slices: &[IoSlice<'_>]| {
                let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = all.len().min(step);
                out.extend_from_slice(&all[..taken]);
                Ok(taken)
            };
            backlog.write_with(write).unwrap();
        }
        out
    }

    #[test]
    fn whatever_the_socket_takes_the_bytes_come_in_order() {
        for step in [1, 2, 3, 5, 100] {
            let mut backlog = Backlog::of(&Bytes::from_static(b"abcdef"), 2);
            backlog.push(&Bytes::from_static(b"ghi"));
            backlog.push(&Bytes::from_static(b"jk"));
            assert_eq!(backlog.bytes(), 9);
            assert_eq!(drain(&mut backlog, step), b"cdefghijk");
        }
    }

    #[test]
    fn more_runs_than_one_write_takes_are_written_in_several() {
        let mut backlog = Backlog::default();
        for _ in 0..200 {
            backlog.push(&Bytes::from_static(b"x"));
        }
        assert_eq!(drain(&mut backlog, usize::MAX).len(), 200);
    }

    #[test]
    fn a_cut_completes_the_frame_under_way_and_says_goodbye() {
        let pong = event::pong();
        let run = Bytes::from([&pong.bytes()[..], &pong.bytes()[..]].concat());
        let mut backlog = Backlog::of(&run, 5);
        backlog.push(&run);
        let goodbye = Frame::goodbye(&Close::OVER_CAPACITY);
        backlog.cut(&goodbye);
        let expected = [&pong.bytes()[5..], &goodbye.bytes()[..]].concat();
        assert_eq!(backlog.bytes(), expected.len());
        assert_eq!(drain(&mut backlog, 7), expected);
    }
}
