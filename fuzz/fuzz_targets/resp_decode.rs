//! Bytes of strangers into the decoder of the Redis protocol: it may refuse them, and never panics, never
//! gives a word that is not in the buffer, and finds the same commands however the bytes are cut.

#![no_main]

#[allow(dead_code, reason = "the decoder is taken from the server, which uses all of it")]
#[path = "../../crates/cloakroom-server/src/serve/resp/decode.rs"]
mod decode;
#[allow(dead_code, reason = "as above")]
#[path = "../../crates/cloakroom-server/src/serve/resp/limits.rs"]
mod limits;
#[allow(dead_code, reason = "as above")]
#[path = "../../crates/cloakroom-server/src/serve/resp/number.rs"]
mod number;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = commands(bytes, bytes.len().max(1));
    assert_eq!(whole, commands(bytes, usize::from(piece).max(1)));
});

fn commands(bytes: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let (mut decoder, mut commands) = (decode::Decoder::default(), Vec::new());
    let (mut begin, mut end) = (0, 0);
    while end < bytes.len() {
        end = bytes.len().min(end + piece);
        loop {
            match decoder.next(&bytes[begin..end], false) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let (buffer, words) = decoder.words(&frame, &bytes[begin..end]);
                    let word = |(from, to): &(u32, u32)| buffer[*from as usize..*to as usize].to_vec();
                    commands.push(words.iter().map(word).collect());
                    begin += frame.taken;
                }
                Err(_) => return (commands, true),
            }
        }
    }
    (commands, false)
}
