//! What the cases of the Autobahn test suite are about, by its numbers, for the machines that cannot run the suite
//! itself (`tests/autobahn`).

use super::*;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Set in the first byte of a message's last frame.
const FIN: u8 = 0x80;

/// Room for every message here.
const MAX_MESSAGE: usize = 1 << 20;

/// What the decoder finds in these frames, whole or byte by byte, and how it ends.
fn outcome(frames: &[Vec<u8>]) -> (Vec<String>, Option<Close>) {
    let bytes = frames.concat();
    let (mut found, mut decoder) = (Vec::new(), Decoder::new(MAX_MESSAGE));
    let mut rest = bytes.clone();
    let failure = loop {
        match decoder.next(&mut rest) {
            Ok((0, _)) => break None,
            Ok((used, message)) => {
                found.extend(message.map(|message| format!("{message:?}")));
                rest.drain(..used);
            }
            Err(close) => break Some(close),
        }
    };
    let in_bytes = decode_in_steps(&bytes, 1, MAX_MESSAGE);
    assert_eq!(in_bytes.as_ref().err(), failure.as_ref(), "byte by byte it is something else");
    assert!(in_bytes.is_err() || in_bytes.is_ok_and(|in_bytes| in_bytes == found));
    (found, failure)
}

fn text(text: &str) -> String {
    format!("{:?}", Incoming::Text(text.into()))
}

fn ping(payload: &[u8]) -> String {
    format!("{:?}", Incoming::Ping(payload))
}

/// The message in fragments of one byte.
fn in_fragments(opcode: u8, message: &[u8]) -> Vec<Vec<u8>> {
    let last = message.len() - 1;
    let fragment = |(index, byte): (usize, &u8)| {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        frame(if index == last { FIN | opcode } else { opcode }, &[*byte])
    };
    message.iter().enumerate().map(fragment).collect()
}

#[test]
fn messages_of_every_length_come_through_whole() {
    for length in [0, 1, 124, 125, 126, 127, 128, 65_535, 65_536, 65_537] {
        let payload = vec![b'*'; length];
        for step in [1, 997, usize::MAX] {
            let found = |opcode| decode_in_steps(&frame(FIN | opcode, &payload), step, MAX_MESSAGE).unwrap();
            assert_eq!(found(TEXT), [text(&"*".repeat(length))], "text of {length} in steps of {step}");
            let binary = format!("{:?}", Incoming::Binary(payload.as_slice().into()));
            assert_eq!(found(BINARY), [binary], "binary of {length} in steps of {step}");
        }
    }
}

#[test]
fn pings_hold_up_to_125_bytes_and_pongs_need_no_ping() {
    for payload in [b"".as_slice(), b"Hello", b"\x00\xFF\xFE\xFD\xFC\xFB\x00\xFF", &[0xFE; 125]] {
        assert_eq!(outcome(&[frame(FIN | PING, payload)]), (vec![ping(payload)], None));
        assert_eq!(outcome(&[frame(FIN | PONG, payload)]), (vec!["Pong".to_owned()], None));
    }
    let ten: Vec<_> = (0..10).map(|number| frame(FIN | PING, &[number])).collect();
    assert_eq!(outcome(&ten).0, (0..10).map(|number| ping(&[number])).collect::<Vec<_>>());
    for opcode in [PING, PONG, CLOSE] {
        assert_eq!(outcome(&[frame(FIN | opcode, &[0xFE; 126])]), (vec![], Some(Close::PROTOCOL_ERROR)));
    }
}

#[test]
fn reserved_bits_and_opcodes_fail_the_connection_after_what_came_before() {
    let in_front = || frame(FIN | TEXT, b"before");
    let failed = (vec![text("before")], Some(Close::PROTOCOL_ERROR));
    let behind = || frame(FIN | PING, b"");
    for bits in 1..=7u8 {
        for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
            let first = FIN | bits << 4 | opcode;
            assert_eq!(outcome(&[in_front(), frame(first, b"xy"), behind()]), failed, "{first:#X}");
        }
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        for (fin, payload) in [(FIN, b"".as_slice()), (FIN, b"xy"), (0, b""), (0, b"xy")] {
            let frames = [in_front(), frame(fin | opcode, payload), behind()];
            assert_eq!(outcome(&frames), failed, "{opcode:#X}");
        }
    }
}

#[test]
fn fragments_make_one_message_and_only_control_frames_come_between() {
    let (first, more, last) = (|| frame(TEXT, b"ab"), || frame(CONTINUATION, b"cd"), || frame(FIN, b"ef"));
    let whole = || text("abcdef");
    let empty = || [frame(TEXT, b""), frame(CONTINUATION, b""), frame(FIN, b"")];
    let good = [
        ("two fragments", vec![first(), last()], vec![text("abef")]),
        ("three fragments", vec![first(), more(), last()], vec![whole()]),
        ("empty fragments", empty().to_vec(), vec![text("")]),
        (
            "pings between",
            vec![first(), frame(FIN | PING, b"1"), more(), frame(FIN | PING, b"2"), last()],
            vec![ping(b"1"), ping(b"2"), whole()],
        ),
        (
            "another message behind",
            vec![first(), last(), frame(FIN | TEXT, b"x")],
            vec![text("abef"), text("x")],
        ),
        ("a message without an end", vec![first(), more()], vec![]),
    ];
    for (name, frames, expected) in good {
        assert_eq!(outcome(&frames), (expected, None), "{name}");
    }
    let bad = [
        ("a fragmented ping", vec![frame(PING, b"ab"), last()], vec![]),
        ("a fragmented pong", vec![frame(PONG, b"ab"), last()], vec![]),
        ("a fragmented close", vec![frame(CLOSE, b""), last()], vec![]),
        ("a last fragment of nothing", vec![last(), frame(FIN | TEXT, b"x")], vec![]),
        ("a further fragment of nothing", vec![more(), frame(FIN | TEXT, b"x")], vec![]),
        ("a fragment behind the end", vec![first(), last(), last()], vec![text("abef")]),
        ("a whole message within", vec![first(), frame(FIN | TEXT, b"x"), last()], vec![]),
        ("a second beginning", vec![first(), frame(TEXT, b"x"), last()], vec![]),
        ("a binary beginning within", vec![first(), frame(BINARY, b"x"), last()], vec![]),
    ];
    for (name, frames, before) in bad {
        assert_eq!(outcome(&frames), (before, Some(Close::PROTOCOL_ERROR)), "{name}");
    }
}

#[test]
fn text_may_be_cut_anywhere_also_within_a_character() {
    for message in [
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\u{0}\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}",
        "\u{D7FF}\u{E000}\u{FFFD}\u{FFFE}",
    ] {
        let bytes = message.as_bytes();
        assert_eq!(outcome(&in_fragments(TEXT, bytes)), (vec![text(message)], None));
        for cut in 0..=bytes.len() {
            let frames = [frame(TEXT, &bytes[..cut]), frame(FIN, &bytes[cut..])];
            assert_eq!(outcome(&frames), (vec![text(message)], None), "{message} cut at {cut}");
        }
    }
}

/// Bytes that are no UTF-8, and after how many of them that is certain: the table of RFC 3629, section 4.
const BAD_TEXT: [(&[u8], usize); 17] = [
    (b"\x80", 1),
    (b"\xBF", 1),
    (b"\xC0\x80", 1),
    (b"\xC1\xBF", 1),
    (b"\xC3x", 2),
    (b"\xE0\x80\xAF", 2),
    (b"\xE0\x9F\xBF", 2),
    (b"\xE1\x80x", 3),
    (b"\xED\xA0\x80", 2),
    (b"\xED\xBF\xBF", 2),
    (b"\xF0\x80\x80\xAF", 2),
    (b"\xF0\x8F\xBF\xBF", 2),
    (b"\xF1\x80\x80x", 4),
    (b"\xF4\x90\x80\x80", 2),
    (b"\xF5\x80\x80\x80", 1),
    (b"\xFE", 1),
    (b"\xFF", 1),
];

#[test]
fn text_that_is_no_utf_8_fails_with_the_fragment_that_makes_it_so() {
    for (bad, certain) in BAD_TEXT {
        let message = ["κόσμε".as_bytes(), bad, b"edited"].concat();
        let failed = (vec![], Some(Close::INVALID_UTF8));
        assert_eq!(outcome(&[frame(FIN | TEXT, &message)]), failed, "{bad:X?} whole");
        let fragments = in_fragments(TEXT, &message);
        let sufficient = "κόσμε".len() + certain;
        assert_eq!(outcome(&fragments[..sufficient - 1]), (vec![], None), "{bad:X?} too early");
        assert_eq!(outcome(&fragments[..sufficient]), failed, "{bad:X?} too late");
    }
}

#[test]
fn text_must_not_end_within_a_character() {
    for cut in [b"\xCE".as_slice(), b"\xE1", b"\xE1\xBD", b"\xF0", b"\xF0\x90", b"\xF0\x90\x80"] {
        let failed = (vec![], Some(Close::INVALID_UTF8));
        assert_eq!(outcome(&[frame(FIN | TEXT, cut)]), failed, "{cut:X?} whole");
        assert_eq!(outcome(&[frame(TEXT, cut), frame(FIN, b"")]), failed, "{cut:X?} in fragments");
        let binary = format!("{:?}", Incoming::Binary(cut.into()));
        let frames = [frame(BINARY, cut), frame(FIN, b"")];
        assert_eq!(outcome(&frames), (vec![binary], None), "{cut:X?} as bytes");
    }
}

#[test]
fn a_close_has_a_code_that_may_go_over_the_wire_or_none() {
    let close = |payload: &[u8]| outcome(&[frame(FIN | CLOSE, payload)]);
    assert_eq!(close(b""), (vec!["Close(None)".to_owned()], None));
    assert_eq!(close(b"\x03"), (vec![], Some(Close::PROTOCOL_ERROR)));
    for code in 0..=u16::MAX {
        let is_assigned = (1000..=1014).contains(&code) && ![1004, 1005, 1006].contains(&code);
        let expected = if is_assigned || (3000..5000).contains(&code) {
            (vec![format!("Close(Some({code}))")], None)
        } else {
            (vec![], Some(Close::PROTOCOL_ERROR))
        };
        assert_eq!(close(&code.to_be_bytes()), expected, "{code}");
    }
}

#[test]
fn a_closes_reason_is_text_of_up_to_123_bytes() {
    let close = |reason: &[u8]| {
        let payload = [&1000_u16.to_be_bytes(), reason].concat();
        outcome(&[frame(FIN | CLOSE, &payload)])
    };
    for reason in ["Hello World!".to_owned(), "*".repeat(123), "é".repeat(61)] {
        assert_eq!(close(reason.as_bytes()), (vec!["Close(Some(1000))".to_owned()], None), "{reason}");
    }
    assert_eq!(close(&[b'*'; 124]), (vec![], Some(Close::PROTOCOL_ERROR)));
    for (bad, _) in BAD_TEXT {
        assert_eq!(close(bad), (vec![], Some(Close::INVALID_UTF8)), "{bad:X?}");
    }
    assert_eq!(close(&[0xC3]), (vec![], Some(Close::INVALID_UTF8)));
}
