//! PEM (RFC 7468): labelled base64 between two lines.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Most blocks of a text.
const MAX_BLOCKS: usize = 100;

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) label: String,
    pub(super) content: Vec<u8>,
}

/// All blocks of a text. What stands outside of them is passed over, as OpenSSL does; headers inside are refused.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Block>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "no PEM: it is not text".to_owned())?;
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let label = line.trim_end().strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = label else { continue };
        if blocks.len() == MAX_BLOCKS {
            return Err(format!("more than {MAX_BLOCKS} PEM blocks"));
        }
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        loop {
            match lines.next().map(str::trim) {
                None => return Err("a PEM block has no end".to_owned()),
                Some(line) if line == end => break,
                Some(line) => body.push_str(line),
            }
        }
        let content = STANDARD.decode(&body).map_err(|fault| format!("a PEM block's base64: {fault}"))?;
        blocks.push(Block { label: label.to_owned(), content });
    }
    Ok(blocks)
}

/// The content of a text's only block, which has this label.
pub(super) fn only(text: &[u8], label: &str) -> Result<Vec<u8>, String> {
    let blocks = parse(text)?;
    match <[Block; 1]>::try_from(blocks) {
        Ok([block]) if block.label == label => Ok(block.content),
        Ok([block]) => Err(format!("a PEM block {label} was expected, not {}", super::quoted(&block.label))),
        Err(blocks) => Err(format!("one PEM block {label} was expected, there are {}", blocks.len())),
    }
}

/// Writes one block, in lines of 64 characters.
pub(super) fn write(label: &str, content: &[u8]) -> String {
    let body = STANDARD.encode(content);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(content in prop::collection::vec(any::<u8>(), 0..200), noise in ".*") {
            prop_assert_eq!(only(write("PUBLIC KEY", &content).as_bytes(), "PUBLIC KEY"), Ok(content));
            let _ = parse(noise.as_bytes());
        }
    }

    #[test]
    fn what_is_not_the_only_block_is_refused() {
        let one = write("PUBLIC KEY", b"x");
        for (text, reason) in [
            (String::new(), "there are 0"),
            (format!("{one}{one}"), "there are 2"),
            (one.replace("PUBLIC", "PRIVATE"), "not \"PRIVATE KEY\""),
            (one.replace("-----END", ""), "no end"),
            (one.replace("eA==", "!"), "base64"),
        ] {
            let error = only(text.as_bytes(), "PUBLIC KEY").unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
