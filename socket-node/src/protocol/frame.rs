//! WebSocket frames from the server to clients (RFC 6455, section 5.2): encoded once, shared by all receivers.

use bytes::Bytes;

use super::{Close, event};

/// Longest header of an unmasked frame.
const MAX_HEADER: usize = 10;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A complete frame as it goes on the wire, header and payload. Cloning it copies a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A text frame whose payload `write` appends to the buffer that it is given. `capacity` is a guess at its length.
    pub fn text(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::build(TEXT, capacity, write)
    }

    /// A probe that every WebSocket client answers by itself.
    pub fn ping() -> Self {
        Self::build(PING, 0, |_| ())
    }

    /// The answer to a client's ping.
    pub fn pong(payload: &[u8]) -> Self {
        Self::build(PONG, payload.len(), |buffer| buffer.extend_from_slice(payload))
    }

    /// The last frames of a connection: `pusher:error` for Pusher's own codes, then the close frame.
    pub fn goodbye(close: &Close) -> Self {
        let mut bytes = Vec::new();
        if close.is_announced() {
            bytes.extend_from_slice(&event::error(Some(close.code), &close.message).0);
        }
        bytes.extend_from_slice(&Self::close(close.code, close.reason()).0);
        Self(bytes.into())
    }

    /// The echo of a client's close frame.
    pub fn close_echo(code: Option<u16>) -> Self {
        match code {
            Some(code) => Self::close(code, ""),
            None => Self::build(CLOSE, 0, |_| ()),
        }
    }

    /// The text frame that another node has encoded, if these bytes are exactly one: final, unmasked, with the shortest
    /// form of its length. Its text is taken as it is.
    pub fn from_encoded(bytes: Bytes) -> Option<Self> {
        let length = match *bytes.get(1)? {
            126 => usize::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)),
            127 => usize::try_from(u64::from_be_bytes(*bytes[2..].first_chunk()?)).ok()?,
            length => usize::from(length),
        };
        let (header, size) = header(TEXT, length);
        let is_one = bytes.starts_with(&header[..size]) && bytes.len() - size == length;
        is_one.then_some(Self(bytes))
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// What is in it.
    pub fn payload(&self) -> &[u8] {
        let header = match self.0[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        &self.0[header..]
    }

    fn close(code: u16, reason: &str) -> Self {
        Self::build(CLOSE, 2 + reason.len(), |buffer| {
            buffer.extend_from_slice(&code.to_be_bytes());
            buffer.extend_from_slice(reason.as_bytes());
        })
    }

    /// Leaves room for the longest header, appends the payload, and writes the header right in front of it: the
    /// payload is never copied to make room.
    fn build(opcode: u8, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut buffer = Vec::with_capacity(MAX_HEADER + capacity);
        buffer.resize(MAX_HEADER, 0);
        write(&mut buffer);
        let length = buffer.len() - MAX_HEADER;
        let (header, size) = header(opcode, length);
        let start = MAX_HEADER - size;
        buffer[start..MAX_HEADER].copy_from_slice(&header[..size]);
        Self(Bytes::from(buffer).slice(start..))
    }
}

/// The header of a final, unmasked frame, and how many bytes of it count.
fn header(opcode: u8, length: usize) -> ([u8; MAX_HEADER], usize) {
    let mut header = [0; MAX_HEADER];
    header[0] = 0x80 | opcode;
    if length < 126 {
        header[1] = u8::try_from(length).expect("it is below 126");
        (header, 2)
    } else if let Ok(short) = u16::try_from(length) {
        header[1] = 126;
        header[2..4].copy_from_slice(&short.to_be_bytes());
        (header, 4)
    } else {
        header[1] = 127;
        header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        (header, 10)
    }
}

/// The first frame boundary at or after `offset` in a run of complete server frames: where a sender that has written
/// `offset` bytes of them may stop without breaking a frame.
pub fn boundary_at_or_after(frames: &[u8], offset: usize) -> usize {
    let mut boundary = 0;
    while boundary < offset {
        let head = &frames[boundary..];
        boundary += match head[1] {
            126 => 4 + usize::from(u16::from_be_bytes([head[2], head[3]])),
            127 => {
                let length = head[2..10].try_into().expect("the slice has eight bytes");
                10 + usize::try_from(u64::from_be_bytes(length)).expect("the frame is in memory")
            }
            length => 2 + usize::from(length),
        };
    }
    boundary
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Frame {
        Frame::text(length, |buffer| buffer.resize(buffer.len() + length, b'x'))
    }

    #[test]
    fn headers_use_the_shortest_form_of_the_length() {
        let head = |length| {
            let frame = text(length);
            let size = frame.bytes().len() - length;
            frame.bytes()[..size].to_vec()
        };
        assert_eq!(head(0), [0x81, 0]);
        assert_eq!(head(125), [0x81, 125]);
        assert_eq!(head(126), [0x81, 126, 0, 126]);
        assert_eq!(head(65_535), [0x81, 126, 255, 255]);
        assert_eq!(head(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_frame_of_another_node_is_taken_only_if_it_is_exactly_one_text_frame() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let frame = text(length);
            assert_eq!(Frame::from_encoded(frame.bytes().clone()), Some(frame.clone()));
            let too_short = frame.bytes().slice(..frame.bytes().len() - 1);
            assert_eq!(Frame::from_encoded(too_short), None);
            let too_long = [frame.bytes(), &b"x"[..]].concat();
            assert_eq!(Frame::from_encoded(too_long.into()), None);
        }
        let bad: [&[u8]; 9] = [
            b"",
            b"\x81",
            b"\x82\x00",                                  // binary
            b"\x01\x00",                                  // to be continued
            b"\xC1\x00",                                  // compressed
            b"\x81\x80\0\0\0\0",                          // masked
            b"\x81\x7E\x00",                              // half a length
            b"\x81\x7E\x00\x01x",                         // a length in too long a form
            b"\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFx", // more than there can be
        ];
        for bytes in bad {
            assert_eq!(Frame::from_encoded(Bytes::from_static(bytes)), None, "{bytes:x?}");
        }
    }

    #[test]
    fn a_goodbye_is_an_error_event_and_a_close_frame_with_the_same_code() {
        let frame = Frame::goodbye(&Close::OVER_QUOTA);
        let json = br#"{"event":"pusher:error","data":{"code":4004,"message":"Account over quota"}}"#;
        let bytes = frame.bytes();
        assert_eq!(&bytes[2..2 + json.len()], json);
        assert_eq!(bytes[2 + json.len()..][..4], [0x88, 20, 0x0F, 0xA4]);
        assert!(bytes.ends_with(b"Account over quota"));
    }

    #[test]
    fn codes_of_the_websocket_protocol_are_not_announced() {
        assert_eq!(Frame::goodbye(&Close::TOO_BIG).bytes()[0], 0x88);
    }

    #[test]
    fn boundaries_are_found_in_a_run_of_frames() {
        let run: Vec<u8> = [text(3), text(300), text(70_000), text(0)]
            .iter()
            .flat_map(|frame| frame.bytes().to_vec())
            .collect();
        let ends = [5, 309, 70_319, 70_321];
        assert_eq!(run.len(), 70_321);
        assert_eq!(boundary_at_or_after(&run, 0), 0);
        let mut start = 0;
        for end in ends {
            for offset in [start + 1, end] {
                assert_eq!(boundary_at_or_after(&run, offset), end, "{offset}");
            }
            start = end;
        }
    }
}
