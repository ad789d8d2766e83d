//! Frames from clients (RFC 6455, section 5), decoded in place in the buffer that they were read into.

use std::{borrow::Cow, io::Cursor};

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::Close;

/// Bytes of a control frame's payload.
const MAX_CONTROL_PAYLOAD: u64 = 125;

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message, put together if it came in fragments.
    Text(Cow<'a, str>),
    /// A whole binary message, put together if it came in fragments. Pusher's protocol has no use for it.
    Binary(Cow<'a, [u8]>),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A sign of life.
    Pong,
    /// The client is done. The code is there if it gave one.
    Close(Option<u16>),
}

/// Decodes the frames of one connection. An idle one holds nothing.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes of one message, all of its fragments together.
    max_message: usize,
    /// What has come of a fragmented message.
    fragments: Option<Box<Fragments>>,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    /// Bytes of a text that are known to be UTF-8: all but a character that the next fragment may complete.
    checked: usize,
    payload: Vec<u8>,
}

impl Fragments {
    /// Begins a message with its first fragment.
    fn begin(is_text: bool, payload: &[u8]) -> Result<Self, Close> {
        let mut fragments = Self { is_text, checked: 0, payload: Vec::new() };
        fragments.extend(payload)?;
        Ok(fragments)
    }

    /// Takes another fragment. What no later one can turn into UTF-8 is refused now, rather than at the message's end.
    fn extend(&mut self, payload: &[u8]) -> Result<(), Close> {
        self.payload.extend_from_slice(payload);
        if self.is_text {
            match str::from_utf8(&self.payload[self.checked..]) {
                Ok(_) => self.checked = self.payload.len(),
                Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
                Err(_) => return Err(Close::INVALID_UTF8),
            }
        }
        Ok(())
    }

    /// The whole message.
    fn finish(self) -> Result<Incoming<'static>, Close> {
        if !self.is_text {
            return Ok(Incoming::Binary(Cow::Owned(self.payload)));
        }
        let text = String::from_utf8(self.payload).map_err(|_| Close::INVALID_UTF8)?;
        Ok(Incoming::Text(Cow::Owned(text)))
    }
}

impl Decoder {
    /// A decoder that takes messages of up to `max_message` bytes.
    pub const fn new(max_message: usize) -> Self {
        Self { max_message, fragments: None }
    }

    /// From the next frame on, it takes messages of up to so many bytes.
    pub const fn limit(&mut self, max_message: usize) {
        self.max_message = max_message;
    }

    /// Takes the next message off the front of `input` and tells how many bytes that used up. There may be bytes used
    /// up without a message: a fragment. Nothing used up means that more bytes are needed.
    ///
    /// # Errors
    /// The close with which RFC 6455 has the connection fail; it cannot go on then.
    pub fn next<'a>(&mut self, input: &'a mut [u8]) -> Result<(usize, Option<Incoming<'a>>), Close> {
        let mut cursor = Cursor::new(&*input);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Close::PROTOCOL_ERROR)?;
        let Some((header, length)) = parsed else {
            return Ok((0, None));
        };
        let start = usize::try_from(cursor.position()).expect("it is within the buffer");
        let mask = self.check(&header, length)?;
        let length = usize::try_from(length).expect("it is no larger than a message");
        let Some(payload) = input.get_mut(start..start + length) else {
            return Ok((0, None));
        };
        unmask(payload, mask);
        let message = match header.opcode {
            OpCode::Control(control) => Some(decode_control(control, payload)?),
            OpCode::Data(data) => self.decode_data(data, header.is_final, payload)?,
        };
        Ok((start + length, message))
    }

    /// Refuses what can be refused on sight, before its payload is waited for; gives the mask.
    fn check(&self, header: &FrameHeader, length: u64) -> Result<[u8; 4], Close> {
        let reserved = header.rsv1 || header.rsv2 || header.rsv3;
        let mask = header.mask.filter(|_| !reserved).ok_or(Close::PROTOCOL_ERROR)?;
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > MAX_CONTROL_PAYLOAD => {
                Err(Close::PROTOCOL_ERROR)
            }
            OpCode::Control(_) => Ok(mask),
            // The most significant bit of a 64-bit length must be 0.
            OpCode::Data(_) if length > u64::MAX >> 1 => Err(Close::PROTOCOL_ERROR),
            OpCode::Data(data) => {
                let is_continuation = data == Data::Continue;
                if is_continuation != self.fragments.is_some() {
                    return Err(Close::PROTOCOL_ERROR);
                }
                let before = self.fragments.as_ref().map_or(0, |fragments| fragments.payload.len());
                let room = (self.max_message - before) as u64;
                if length > room { Err(Close::TOO_BIG) } else { Ok(mask) }
            }
        }
    }

    fn decode_data<'a>(
        &mut self,
        data: Data,
        is_final: bool,
        payload: &'a [u8],
    ) -> Result<Option<Incoming<'a>>, Close> {
        match (data, self.fragments.take()) {
            (Data::Continue, Some(mut fragments)) => {
                fragments.extend(payload)?;
                if is_final {
                    return fragments.finish().map(Some);
                }
                self.fragments = Some(fragments);
                Ok(None)
            }
            (Data::Text | Data::Binary, None) if !is_final => {
                self.fragments = Some(Box::new(Fragments::begin(data == Data::Text, payload)?));
                Ok(None)
            }
            (Data::Text, None) => {
                let text = str::from_utf8(payload).map_err(|_| Close::INVALID_UTF8)?;
                Ok(Some(Incoming::Text(Cow::Borrowed(text))))
            }
            (Data::Binary, None) => Ok(Some(Incoming::Binary(Cow::Borrowed(payload)))),
            (Data::Continue | Data::Text | Data::Binary | Data::Reserved(_), _) => Err(Close::PROTOCOL_ERROR),
        }
    }
}

fn decode_control(control: Control, payload: &[u8]) -> Result<Incoming<'_>, Close> {
    match control {
        Control::Ping => Ok(Incoming::Ping(payload)),
        Control::Pong => Ok(Incoming::Pong),
        Control::Close => decode_close(payload).map(Incoming::Close),
        Control::Reserved(_) => Err(Close::PROTOCOL_ERROR),
    }
}

/// The code of a close frame: none, or one that may go over the wire (RFC 6455, section 7.4), with a reason in UTF-8.
fn decode_close(payload: &[u8]) -> Result<Option<u16>, Close> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Close::PROTOCOL_ERROR),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Close::PROTOCOL_ERROR);
    }
    str::from_utf8(reason).map_err(|_| Close::INVALID_UTF8)?;
    Ok(Some(code))
}

/// Takes the client's mask off (RFC 6455, section 5.3), eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
