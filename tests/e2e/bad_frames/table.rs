//! Frames of every kind that RFC 6455 forbids, or that it allows and hardly anybody sends, each with the answer that it
//! gives them.

use crate::support::raw::{frame, frame_with_first_byte, opcode};

/// A message that has an answer, so that one can see whether it was understood.
pub(super) const PING_MESSAGE: &[u8] = br#"{"event":"pusher:ping","data":{}}"#;

/// FIN, in the first byte of a frame.
const FIN: u8 = 0x80;

/// Bytes for an established connection, and what must come of them.
#[derive(Debug)]
pub(super) struct Case {
    /// What is tried.
    pub(super) what: String,
    /// What is sent.
    pub(super) bytes: Vec<u8>,
    /// What must be answered.
    pub(super) answer: Answer,
}

/// What must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A Close frame of this code and the end of the connection, without an answer to anything that followed.
    Close(u16),
    /// A Close frame that agrees to the client's, and the end of the connection.
    Agreement,
    /// So many pongs to [`PING_MESSAGE`] and nothing else; the connection stays.
    Pongs(usize),
    /// A `pusher:error` without a code; the connection stays.
    Error,
    /// The RFC forbids it and needs no reaction to it: a Close frame of code 1002, or one pong.
    CloseOrPong,
}

/// All cases.
pub(super) fn cases() -> Vec<Case> {
    let groups = [
        reserved_bits(),
        reserved_opcodes(),
        bad_control_frames(),
        unmasked_frames(),
        lengths(),
        fragments(),
        misplaced_fragments(),
        bad_text(),
        split_text(),
        bad_closes(),
        good_closes(),
        unexpected_but_allowed(),
    ];
    groups.into_iter().flatten().collect()
}

fn case(what: impl Into<String>, bytes: impl Into<Vec<u8>>, answer: Answer) -> Case {
    Case { what: what.into(), bytes: bytes.into(), answer }
}

fn reserved_bits() -> Vec<Case> {
    let opcodes = [opcode::TEXT, opcode::BINARY, opcode::PING, opcode::PONG, opcode::CLOSE];
    let of_bits = |bits: u8| {
        opcodes.map(|opcode| {
            let bytes = frame_with_first_byte(FIN | bits << 4 | opcode, b"{}");
            case(format!("reserved bits {bits:03b} with opcode {opcode:#X}"), bytes, Answer::Close(1002))
        })
    };
    (1..=7).flat_map(of_bits).collect()
}

fn reserved_opcodes() -> Vec<Case> {
    let of_opcode = |opcode: u8| {
        [(FIN, "whole"), (0, "fragmented")].into_iter().flat_map(move |(fin, form)| {
            [b"".as_slice(), b"{}", PING_MESSAGE].map(|payload| {
                let what = format!("reserved opcode {opcode:#X}, {form}, {} bytes", payload.len());
                case(what, frame_with_first_byte(fin | opcode, payload), Answer::Close(1002))
            })
        })
    };
    (0x3..=0x7).chain(0xB..=0xF).flat_map(of_opcode).collect()
}

fn bad_control_frames() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, opcode) in [("ping", opcode::PING), ("pong", opcode::PONG), ("close", opcode::CLOSE)] {
        for length in [126, 1000, 65_536] {
            let bytes = frame(opcode, &vec![b'a'; length]);
            cases.push(case(format!("a {name} of {length} bytes"), bytes, Answer::Close(1002)));
        }
        let fragmented = frame_with_first_byte(opcode, b"");
        let within = [frame_with_first_byte(opcode::TEXT, b"{"), fragmented.clone()].concat();
        cases.push(case(format!("a fragmented {name}"), fragmented, Answer::Close(1002)));
        cases.push(case(format!("a fragmented {name} within a message"), within, Answer::Close(1002)));
    }
    cases
}

fn unmasked_frames() -> Vec<Case> {
    let opcodes =
        [opcode::TEXT, opcode::BINARY, opcode::PING, opcode::PONG, opcode::CLOSE, opcode::CONTINUATION];
    let of_opcode = |opcode: u8| {
        [b"".as_slice(), b"\x03\xE8"].map(|payload| {
            let bytes = [&[FIN | opcode, u8::try_from(payload.len()).expect("two bytes")], payload].concat();
            case(format!("unmasked opcode {opcode:#X}, {} bytes", payload.len()), bytes, Answer::Close(1002))
        })
    };
    opcodes.into_iter().flat_map(of_opcode).collect()
}

/// A masked text frame whose length is written in so many bytes, with a mask of zeros.
fn with_length(length: u64, width: usize, payload: &[u8]) -> Vec<u8> {
    let marker = if width == 2 { 126 } else { 127 };
    let length = &length.to_be_bytes()[8 - width..];
    [&[FIN | opcode::TEXT, 0x80 | marker], length, &[0; 4], payload].concat()
}

fn lengths() -> Vec<Case> {
    let short = PING_MESSAGE.len() as u64;
    let mut cases = vec![
        case("a short length in two bytes", with_length(short, 2, PING_MESSAGE), Answer::CloseOrPong),
        case("a short length in eight bytes", with_length(short, 8, PING_MESSAGE), Answer::CloseOrPong),
        case("the highest bit alone", with_length(1 << 63, 8, b""), Answer::Close(1002)),
        case("all bits", with_length(u64::MAX, 8, b""), Answer::Close(1002)),
        case(
            "the highest bit and a short length",
            with_length(1 << 63 | short, 8, PING_MESSAGE),
            Answer::Close(1002),
        ),
    ];
    for length in [(1 << 63) - 1, 1 << 48, 1 << 40, 1 << 32, (1 << 32) + short, 1 << 31, 64 << 20, 4 << 20] {
        let bytes = with_length(length, 8, PING_MESSAGE);
        cases.push(case(format!("{length} bytes announced and few sent"), bytes, Answer::Close(1009)));
    }
    cases
}

/// A message in fragments of `size` bytes, with other frames after each.
fn fragmented(message: &[u8], size: usize, between: &[u8]) -> Vec<u8> {
    let count = message.len().div_ceil(size);
    let fragment = |(index, part)| {
        let opcode = if index == 0 { opcode::TEXT } else { opcode::CONTINUATION };
        let is_last = index + 1 == count;
        let bytes = frame_with_first_byte(if is_last { FIN | opcode } else { opcode }, part);
        if is_last { bytes } else { [bytes.as_slice(), between].concat() }
    };
    message.chunks(size).enumerate().flat_map(fragment).collect()
}

fn fragments() -> Vec<Case> {
    let empty = frame_with_first_byte(opcode::CONTINUATION, b"");
    let pong = frame(opcode::PONG, b"unasked");
    let mut cases: Vec<_> = [1, 2, 3, 7, 16, 32]
        .map(|size| {
            case(format!("fragments of {size} bytes"), fragmented(PING_MESSAGE, size, b""), Answer::Pongs(1))
        })
        .into();
    let around_empty = |first: u8| [frame_with_first_byte(first, b""), empty.repeat(3)].concat();
    let last = frame(opcode::CONTINUATION, PING_MESSAGE);
    let end = frame(opcode::CONTINUATION, b"");
    let start = frame_with_first_byte(opcode::TEXT, PING_MESSAGE);
    cases.extend([
        case("empty fragments between full ones", fragmented(PING_MESSAGE, 5, &empty), Answer::Pongs(1)),
        case("pongs between fragments", fragmented(PING_MESSAGE, 5, &pong), Answer::Pongs(1)),
        case("all of it in the last fragment", [around_empty(opcode::TEXT), last].concat(), Answer::Pongs(1)),
        case("all of it in the first fragment", [start, end.clone()].concat(), Answer::Pongs(1)),
        case("nothing in any fragment", [around_empty(opcode::TEXT), end].concat(), Answer::Error),
        case(
            "five megabytes in fragments",
            fragmented(&vec![b' '; 5 << 20], 60_000, b""),
            Answer::Close(1009),
        ),
    ]);
    cases
}

fn misplaced_fragments() -> Vec<Case> {
    let mut cases = Vec::new();
    for (form, fin) in [("last", FIN), ("further", 0)] {
        for payload in [b"".as_slice(), PING_MESSAGE] {
            let what = format!("a {form} fragment of no message, {} bytes", payload.len());
            let bytes = frame_with_first_byte(fin | opcode::CONTINUATION, payload);
            let after_a_message = [frame(opcode::PONG, b""), bytes.clone()].concat();
            cases.push(case(what.clone(), bytes, Answer::Close(1002)));
            cases.push(case(format!("{what}, after a pong"), after_a_message, Answer::Close(1002)));
        }
    }
    for opcode in [opcode::TEXT, opcode::BINARY] {
        for fin in [FIN, 0] {
            let first = frame_with_first_byte(opcode::TEXT, b"{");
            let bytes = [first, frame_with_first_byte(fin | opcode, PING_MESSAGE)].concat();
            let what = format!("a first byte of {:#X} within a message", fin | opcode);
            cases.push(case(what, bytes, Answer::Close(1002)));
        }
    }
    cases
}

/// Bytes that are no UTF-8, each for a reason of its own.
const BAD_TEXT: [(&str, &[u8]); 16] = [
    ("a byte that never occurs", b"\xFF"),
    ("another that never occurs", b"\xFE"),
    ("a continuation without a start", b"\x80"),
    ("two continuations without a start", b"\xBF\xBF"),
    ("an overlong slash in two bytes", b"\xC0\xAF"),
    ("an overlong A", b"\xC1\x81"),
    ("an overlong slash in three bytes", b"\xE0\x80\xAF"),
    ("an overlong slash in four bytes", b"\xF0\x80\x80\xAF"),
    ("an overlong NUL", b"\xC0\x80"),
    ("a high surrogate", b"\xED\xA0\x80"),
    ("a low surrogate", b"\xED\xBF\xBF"),
    ("more than the last character", b"\xF4\x90\x80\x80"),
    ("a start of five bytes", b"\xF8\x88\x80\x80\x80"),
    ("a character cut after one byte", b"\xC3"),
    ("a character cut after two bytes", b"\xE2\x82"),
    ("a character cut after three bytes", b"\xF0\x9F\x98"),
];

fn bad_text() -> Vec<Case> {
    let in_all_forms = |(what, bad): (&str, &[u8])| {
        let within = [br#"{"event":""#, bad, br#"","data":{}}"#].concat();
        let in_reason = [&1000_u16.to_be_bytes(), bad].concat();
        [
            case(format!("{what}, alone"), frame(opcode::TEXT, bad), Answer::Close(1007)),
            case(format!("{what}, within JSON"), frame(opcode::TEXT, &within), Answer::Close(1007)),
            case(format!("{what}, one byte a fragment"), fragmented(&within, 1, b""), Answer::Close(1007)),
            case(
                format!("{what}, as the reason of a close"),
                frame(opcode::CLOSE, &in_reason),
                Answer::Close(1007),
            ),
        ]
    };
    BAD_TEXT.into_iter().flat_map(in_all_forms).collect()
}

fn split_text() -> Vec<Case> {
    let message = r#"{"event":"pusher:ping","data":{"é":"€🍮\uD83C\uDF6E"}}"#.as_bytes();
    let mut cases: Vec<_> = (1..=4)
        .map(|size| {
            let bytes = fragmented(message, size, &frame(opcode::PONG, b""));
            case(format!("characters cut every {size} bytes"), bytes, Answer::Pongs(1))
        })
        .collect();
    cases.push(case("characters beyond ASCII, whole", frame(opcode::TEXT, message), Answer::Pongs(1)));
    cases
}

fn bad_closes() -> Vec<Case> {
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    let mut cases: Vec<_> = codes
        .map(|code: u16| {
            case(
                format!("a close with {code}"),
                frame(opcode::CLOSE, &code.to_be_bytes()),
                Answer::Close(1002),
            )
        })
        .into();
    cases.push(case("a close of one byte", frame(opcode::CLOSE, b"\x03"), Answer::Close(1002)));
    cases
}

fn good_closes() -> Vec<Case> {
    let close = |payload: &[u8]| frame(opcode::CLOSE, payload);
    let normal = close(&1000_u16.to_be_bytes());
    let ping = frame(opcode::TEXT, PING_MESSAGE);
    let longest = [&1000_u16.to_be_bytes(), "é".repeat(61).as_bytes(), b"."].concat();
    let mut cases: Vec<_> = [1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
        .map(|code: u16| case(format!("a close with {code}"), close(&code.to_be_bytes()), Answer::Agreement))
        .into();
    cases.extend([
        case("a close without a code", close(b""), Answer::Agreement),
        case("a close with the longest reason", close(&longest), Answer::Agreement),
        case("two closes", normal.repeat(2), Answer::Agreement),
        case("a message after a close", [normal.as_slice(), &ping].concat(), Answer::Agreement),
        case("nonsense after a close", [normal.as_slice(), b"\xFF\xFF\xFF"].concat(), Answer::Agreement),
        case(
            "half a message before a close",
            [frame_with_first_byte(opcode::TEXT, b"{"), normal].concat(),
            Answer::Agreement,
        ),
    ]);
    cases
}

fn unexpected_but_allowed() -> Vec<Case> {
    let ping = frame(opcode::TEXT, PING_MESSAGE);
    let halves = [frame_with_first_byte(opcode::BINARY, b"ab"), frame(opcode::CONTINUATION, b"cd")].concat();
    let length = u8::try_from(PING_MESSAGE.len()).expect("it is short");
    let masked_with = |mask: u8| {
        let masked: Vec<_> = PING_MESSAGE.iter().map(|byte| byte ^ mask).collect();
        [&[FIN | opcode::TEXT, 0x80 | length], [mask; 4].as_slice(), &masked].concat()
    };
    vec![
        case("a mask of zeros", masked_with(0), Answer::Pongs(1)),
        case("a mask of ones", masked_with(0xFF), Answer::Pongs(1)),
        case("a pong nobody asked for", [frame(opcode::PONG, b"x"), ping.clone()].concat(), Answer::Pongs(1)),
        case("an empty pong", [frame(opcode::PONG, b""), ping.clone()].concat(), Answer::Pongs(1)),
        case("fifty messages at once", ping.repeat(50), Answer::Pongs(50)),
        case("an empty text", frame(opcode::TEXT, b""), Answer::Error),
        case("an empty binary message", frame(opcode::BINARY, b""), Answer::Error),
        case("a binary message of JSON", frame(opcode::BINARY, PING_MESSAGE), Answer::Error),
        case("a binary message that is no UTF-8", frame(opcode::BINARY, b"\xFF\xFE\x00"), Answer::Error),
        case("a binary message in fragments", halves, Answer::Error),
    ]
}
