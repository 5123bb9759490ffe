//! A strict reader of JSON (RFC 8259), pulled by the caller value by value.
//!
//! Not serde: of two equal keys serde_json keeps the last, where other readers keep the first, and
//! its errors do not know the field's path. Here every object refuses equal keys and every error
//! names its field, also in parts of the document that nobody asked for; those are walked and
//! never stored, so that a document costs little memory beyond what is wanted of it.

mod path;
mod string;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use self::path::Step;
use super::{MAX_DEPTH, ManifestError};

pub(super) type Result<T> = std::result::Result<T, ManifestError>;

/// A position in a document, with the path that leads there.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step<'a>>,
    // Objects and arrays that are open; not `path.len()`, which a just opened one does not add to.
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, path: Vec::new(), depth: 0 }
    }

    /// Where the reader is, as `layers[3].digest`; "the manifest" at the top.
    pub(super) fn path(&self) -> String {
        path::render(&self.path)
    }

    /// The error that the value here has another type than it should.
    pub(super) fn wrong_type(&self, expected: &'static str) -> ManifestError {
        ManifestError::Type { path: self.path(), expected }
    }

    fn syntax(&self, expected: &'static str) -> ManifestError {
        ManifestError::Syntax { at: self.at, expected }
    }

    /// The next byte that is not white space, left in place.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blank = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blank;
        rest.get(blank).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.syntax(name)) }
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let there = self.text[self.at..].starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// Takes a `null` if one is here. Go's writers give absent fields so.
    pub(super) fn null(&mut self) -> bool {
        self.word("null")
    }

    /// Asserts that the document ends here.
    pub(super) fn end(mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.syntax("the end")) }
    }

    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(ManifestError::Depth { path: self.path() });
        }
        self.depth += 1;
        let value = inside(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads an object; `field` must read (or skip) the value of each key.
    pub(super) fn object(&mut self, mut field: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        if self.peek() != Some(b'{') {
            return Err(self.unexpected("an object"));
        }
        self.at += 1;
        self.nested(|reader| {
            let mut seen = HashSet::new();
            if reader.take(b'}') {
                return Ok(());
            }
            loop {
                if reader.peek() != Some(b'"') {
                    return Err(reader.syntax("a key in quotes"));
                }
                let key = reader.string()?;
                reader.path.push(Step::Key(key.clone()));
                if !seen.insert(key.clone()) {
                    return Err(ManifestError::DuplicateKey { path: reader.path() });
                }
                reader.expect(b':', "a colon")?;
                field(reader, &key)?;
                reader.path.pop();
                if reader.take(b'}') {
                    return Ok(());
                }
                reader.expect(b',', "a comma or a closing brace")?;
            }
        })
    }

    /// Reads an array; `item` must read (or skip) each value.
    pub(super) fn array(&mut self, mut item: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<()> {
        if self.peek() != Some(b'[') {
            return Err(self.unexpected("an array"));
        }
        self.at += 1;
        self.nested(|reader| {
            if reader.take(b']') {
                return Ok(());
            }
            for index in 0.. {
                reader.path.push(Step::Index(index));
                item(reader, index)?;
                reader.path.pop();
                if reader.take(b']') {
                    break;
                }
                reader.expect(b',', "a comma or a closing bracket")?;
            }
            Ok(())
        })
    }

    /// Reads a number and gives it as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.unexpected("a number"));
        }
        let start = self.at;
        let bytes = self.text.as_bytes();
        let is = |at: usize, set: &[u8]| bytes.get(at).is_some_and(|b| set.contains(b));
        self.at += usize::from(is(self.at, b"-"));
        if is(self.at, b"0") {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if is(self.at, b".") {
            self.at += 1;
            self.digits()?;
        }
        if is(self.at, b"eE") {
            self.at += 1;
            self.at += usize::from(is(self.at, b"+-"));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<()> {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err(self.syntax("a digit")) }
    }

    /// Walks over any value. What it walks over is still checked.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.object(|reader, _| reader.skip()),
            Some(b'[') => self.array(|reader, _| reader.skip()),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') if self.word("true") => Ok(()),
            Some(b'f') if self.word("false") => Ok(()),
            Some(b'n') if self.word("null") => Ok(()),
            _ => Err(self.syntax("a value")),
        }
    }

    /// Walks over the value of a key that nobody asked for, unless readers that ignore case would
    /// take it for one of `known`.
    pub(super) fn skip_unknown(&mut self, key: &str, known: &[&'static str]) -> Result<()> {
        match known.iter().find(|proper| proper.eq_ignore_ascii_case(key)) {
            Some(proper) => Err(ManifestError::KeyCase { path: self.path(), proper }),
            None => self.skip(),
        }
    }

    /// Tries to read a value as `read` does. Where that fails, gives the error as a value and stands
    /// behind the value all the same, if it is JSON at all.
    pub(super) fn attempt<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<std::result::Result<T, ManifestError>> {
        let (at, depth, steps) = (self.at, self.depth, self.path.len());
        let outcome = read(self);
        if outcome.is_err() {
            (self.at, self.depth) = (at, depth);
            self.path.truncate(steps);
            self.skip()?;
        }
        Ok(outcome)
    }

    /// A value of another type if there is one, a fault of syntax otherwise.
    fn unexpected(&mut self, expected: &'static str) -> ManifestError {
        match self.peek() {
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.wrong_type(expected),
            _ => self.syntax(expected),
        }
    }
}
