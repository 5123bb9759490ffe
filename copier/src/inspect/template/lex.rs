//! Text and actions, and the words of an action.

use super::Value;

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// Text that stands for itself.
    Text(String),
    /// The words between `{{` and `}}`, and the text of the action for errors.
    Action(Vec<Word>, String),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// `if`, `json`.
    Name(String),
    /// `.`.
    Dot,
    /// `.A`; directly behind another word it goes on from it.
    Field {
        name: String,
        /// Whether nothing stands between it and the word before.
        glued: bool,
    },
    /// `$`, `$x`.
    Variable(String),
    /// `"text"`, `` `text` ``, `12`, `true`, `nil`.
    Literal(Value),
    Pipe,
    Open,
    Close,
    Comma,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
}

/// Splits a template into text and actions, and trims text beside `{{-` and `-}}`.
pub(super) fn split(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim_start = false;
    loop {
        let (text, behind) = match rest.split_once("{{") {
            Some((text, behind)) => (text, Some(behind)),
            None => (rest, None),
        };
        let text = if trim_start { text.trim_start() } else { text };
        let trim_end =
            behind.is_some_and(|b| b.starts_with("- ") || b.starts_with("-\n") || b.starts_with("-\t"));
        let text = if trim_end { text.trim_end() } else { text };
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some(behind) = behind else { return Ok(pieces) };
        let inside = if trim_end { &behind[1..] } else { behind };
        let end = end_of_action(inside)
            .ok_or_else(|| format!("\"{{{{{}\" is not closed by }}}}", shorten(inside)))?;
        let (action, behind) = (&inside[..end], &inside[end + 2..]);
        rest = behind;
        let trimmed = action.strip_suffix('-').filter(|a| a.ends_with([' ', '\n', '\t']));
        trim_start = trimmed.is_some();
        let action = trimmed.unwrap_or(action).trim();
        let comment = action.starts_with("/*") && action.ends_with("*/") && action.len() >= 4;
        if !comment {
            let words = words(action).map_err(|fault| format!("{{{{{}}}}}: {fault}", shorten(action)))?;
            pieces.push(Piece::Action(words, shorten(action)));
        }
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Where `}}` is, outside of quotes and comments.
fn end_of_action(text: &str) -> Option<usize> {
    if text.trim_start().starts_with("/*") {
        let comment = text.find("*/")?;
        return text[comment..].find("}}").map(|at| comment + at);
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), c) if c == open && !escaped => quote = None,
            (None, '"' | '`') => quote = Some(c),
            (None, '}') if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
        escaped = false;
    }
    None
}

fn words(action: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = action;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
            continue;
        }
        let glued = rest.len() < action.len()
            && !action[..action.len() - rest.len()].ends_with(char::is_whitespace)
            && matches!(words.last(), Some(Word::Field { .. } | Word::Variable(_) | Word::Close));
        let (word, behind) = word(first, rest, glued)?;
        words.push(word);
        rest = behind;
    }
    Ok(words)
}

fn word(first: char, rest: &str, glued: bool) -> Result<(Word, &str), String> {
    let behind = &rest[first.len_utf8()..];
    let name = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    match first {
        '|' => Ok((Word::Pipe, behind)),
        '(' => Ok((Word::Open, behind)),
        ')' => Ok((Word::Close, behind)),
        ',' => Ok((Word::Comma, behind)),
        ':' => {
            behind.strip_prefix('=').map(|b| (Word::Declare, b)).ok_or_else(|| "`:` without `=`".to_owned())
        }
        '=' => Ok((Word::Assign, behind)),
        '.' => match behind.split_at(name(behind)) {
            ("", behind) => Ok((Word::Dot, behind)),
            (name, behind) => Ok((Word::Field { name: name.to_owned(), glued }, behind)),
        },
        '$' => {
            let (name, behind) = behind.split_at(name(behind));
            Ok((Word::Variable(name.to_owned()), behind))
        }
        '"' => quoted(behind),
        '`' => {
            let (text, behind) = behind.split_once('`').ok_or_else(|| "a quote is not closed".to_owned())?;
            Ok((Word::Literal(Value::text(text)), behind))
        }
        '0'..='9' | '-' | '+' => number(rest),
        c if c.is_alphabetic() || c == '_' => {
            let (name, behind) = rest.split_at(name(rest));
            let word = match name {
                "true" => Word::Literal(Value::Bool(true)),
                "false" => Word::Literal(Value::Bool(false)),
                "nil" => Word::Literal(Value::Nothing),
                _ => Word::Name(name.to_owned()),
            };
            Ok((word, behind))
        }
        c => Err(format!("`{c}` means nothing here")),
    }
}

fn number(rest: &str) -> Result<(Word, &str), String> {
    let end = rest[1..].find(|c: char| !c.is_alphanumeric() && c != '.').map_or(rest.len(), |at| at + 1);
    let (text, behind) = rest.split_at(end);
    let number = text.parse().map_err(|_| format!("\"{text}\" is no whole number"))?;
    Ok((Word::Literal(Value::Int(number)), behind))
}

fn quoted(rest: &str) -> Result<(Word, &str), String> {
    let mut text = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next() {
            Some('"') => return Ok((Word::Literal(Value::text(text)), characters.as_str())),
            Some('\\') => text.push(match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(c @ ('"' | '\\' | '\'')) => c,
                other => return Err(format!("`\\{}` in quotes means nothing here", other.unwrap_or(' '))),
            }),
            Some(c) => text.push(c),
            None => return Err("a quote is not closed".to_owned()),
        }
    }
}
