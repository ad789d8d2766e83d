//! Bytes from a client, whole and cut into pieces: the decoder must say the same of both, hold no more than a message,
//! and never panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socket_node::protocol::{Close, Decoder, Incoming};

/// Bytes of a message. Small, so that the fuzzer finds its way to the limit.
const MAX_MESSAGE: usize = 1000;

/// The longest header of a masked frame: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// What the decoder found, no longer borrowed from the buffer that it was found in.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Failure(Close),
}

/// The way in which input comes: pieces of one to sixteen bytes, or all that is left.
struct Pieces(u64);

impl Pieces {
    /// The length of the next piece, by Knuth's linear congruential generator.
    fn next_length(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (self.0 >> 60) as usize
    }
}

/// All messages of these bytes; a failure is the last of them.
fn decode(input: &[u8], mut next_length: impl FnMut() -> usize) -> Vec<Found> {
    let mut decoder = Decoder::new(MAX_MESSAGE);
    let (mut rest, mut pending, mut found) = (input, Vec::new(), Vec::new());
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(next_length().min(rest.len()));
        rest = later;
        pending.extend_from_slice(piece);
        match take_all(&mut decoder, &mut pending, &mut found) {
            Ok(()) => assert!(pending.len() < MAX_MESSAGE + MAX_HEADER, "{} bytes wait", pending.len()),
            Err(close) => {
                found.push(Found::Failure(close));
                break;
            }
        }
    }
    found
}

/// Takes the whole frames off the front of what is pending.
fn take_all(decoder: &mut Decoder, pending: &mut Vec<u8>, found: &mut Vec<Found>) -> Result<(), Close> {
    let mut start = 0;
    loop {
        let (used, message) = decoder.next(&mut pending[start..])?;
        found.extend(message.map(owned));
        assert!(start + used <= pending.len(), "more is used up than there was");
        start += used;
        if used == 0 {
            pending.drain(..start);
            return Ok(());
        }
    }
}

fn owned(message: Incoming<'_>) -> Found {
    match message {
        Incoming::Text(text) => {
            assert!(text.len() <= MAX_MESSAGE, "a message of {} bytes", text.len());
            Found::Text(text.into_owned())
        }
        Incoming::Binary(payload) => {
            assert!(payload.len() <= MAX_MESSAGE, "a message of {} bytes", payload.len());
            Found::Binary(payload.into_owned())
        }
        Incoming::Ping(payload) => {
            assert!(payload.len() <= 125, "a ping of {} bytes", payload.len());
            Found::Ping(payload.to_vec())
        }
        Incoming::Pong => Found::Pong,
        Incoming::Close(code) => Found::Close(code),
    }
}

fuzz_target!(|input: (u64, &[u8])| {
    let (seed, bytes) = input;
    let whole = decode(bytes, || usize::MAX);
    let mut pieces = Pieces(seed);
    assert_eq!(decode(bytes, || pieces.next_length()), whole);
    assert_eq!(decode(bytes, || 1), whole);
});
