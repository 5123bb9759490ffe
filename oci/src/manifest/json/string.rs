//! Strings and their escapes (RFC 8259, section 7).

use std::borrow::Cow;

use super::{Reader, Result};

impl<'a> Reader<'a> {
    /// Reads a string.
    pub(in crate::manifest) fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        self.at += 1;
        let start = self.at;
        self.plain()?;
        let text: &'a str = self.text;
        if text.as_bytes()[self.at] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&text[start..self.at - 1]));
        }
        let mut value = text[start..self.at].to_owned();
        loop {
            if text.as_bytes()[self.at] == b'"' {
                self.at += 1;
                return Ok(Cow::Owned(value));
            }
            self.at += 1;
            value.push(self.escape()?);
            let start = self.at;
            self.plain()?;
            value.push_str(&text[start..self.at]);
        }
    }

    /// Goes over a string's plain characters up to its quote or a backslash.
    fn plain(&mut self) -> Result<()> {
        let rest = &self.text.as_bytes()[self.at..];
        let plain = rest.iter().take_while(|&&b| b != b'"' && b != b'\\' && b >= b' ').count();
        self.at += plain;
        match rest.get(plain) {
            Some(b'"' | b'\\') => Ok(()),
            Some(_) => Err(self.syntax("an escaped control character")),
            None => Err(self.syntax("a closing quote")),
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char> {
        let Some(&byte) = self.text.as_bytes().get(self.at) else {
            return Err(self.syntax("an escape"));
        };
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.syntax("an escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(self.syntax("the other half of a surrogate pair"));
                }
                self.at += 2;
                match self.hex4()? {
                    second @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Err(self.syntax("the other half of a surrogate pair")),
                }
            }
            _ => first,
        };
        // Only a second half without a first is left to fail here.
        char::from_u32(code).ok_or_else(|| self.syntax("a character, not half of one"))
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let value = digits.and_then(|digits| {
            digits.iter().try_fold(0, |value, &b| Some(value * 16 + char::from(b).to_digit(16)?))
        });
        let value = value.ok_or_else(|| self.syntax("four hexadecimal digits"))?;
        self.at += 4;
        Ok(value)
    }
}
