//! Actions to a tree.

use super::{
    MAX_DEPTH, Value,
    lex::{Piece, Word},
};

/// A piece of the tree.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// Shows what a pipeline gives.
    Show(Pipeline),
    /// Sets a variable.
    Set {
        variable: String,
        declare: bool,
        to: Pipeline,
    },
    /// The first branch whose condition holds, else the last block. `with` makes the condition the dot.
    If {
        branches: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
        with: bool,
    },
    /// A block for every element.
    Range {
        key: Option<String>,
        value: Option<String>,
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Commands, each of which is given what the one before gave as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline(pub(super) Vec<Vec<Operand>>);

/// What a command is made of.
#[derive(Debug)]
pub(super) enum Operand {
    Literal(Value),
    Function(String),
    /// Fields of the dot.
    Dot(Vec<String>),
    /// Fields of a variable; `$` has no name.
    Variable(String, Vec<String>),
    /// Fields of what is in parentheses.
    Inner(Pipeline, Vec<String>),
}

/// Makes the tree.
pub(super) fn parse(pieces: Vec<Piece>) -> Result<Vec<Node>, String> {
    let mut parser = Parser { pieces: pieces.into_iter(), depth: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(format!("{{{{{}}}}} has no beginning", end.word())),
    }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
}

/// What closed a block.
enum Close {
    End,
    Else,
    ElseIf(Vec<Word>),
}

impl Close {
    const fn word(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else | Self::ElseIf(_) => "else",
        }
    }
}

impl Parser {
    fn block(&mut self) -> Result<(Vec<Node>, Option<Close>), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} blocks inside of each other"));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            match piece {
                Piece::Text(text) => nodes.push(Node::Text(text)),
                Piece::Action(words, shown) => {
                    let at = |fault: String| format!("{{{{{shown}}}}}: {fault}");
                    match self.action(words).map_err(at)? {
                        Action::Node(node) => nodes.push(node),
                        Action::Close(end) => {
                            self.depth -= 1;
                            return Ok((nodes, Some(end)));
                        }
                    }
                }
            }
        }
        self.depth -= 1;
        Ok((nodes, None))
    }

    fn action(&mut self, mut words: Vec<Word>) -> Result<Action, String> {
        let name = match words.first() {
            Some(Word::Name(name)) => name.clone(),
            Some(_) => String::new(),
            None => return Err("an action says something".to_owned()),
        };
        match name.as_str() {
            "if" | "with" => {
                let condition = pipeline(&words[1..])?;
                self.conditional(condition, name == "with").map(Action::Node)
            }
            "range" => self.range(&words[1..]).map(Action::Node),
            "end" if words.len() == 1 => Ok(Action::Close(Close::End)),
            "else" if words.len() == 1 => Ok(Action::Close(Close::Else)),
            "else" => Ok(Action::Close(Close::ElseIf(words.split_off(1)))),
            "define" | "template" | "block" | "break" | "continue" => {
                Err(format!("`{name}` is not done here"))
            }
            _ => match words.as_slice() {
                [Word::Variable(variable), how @ (Word::Declare | Word::Assign), rest @ ..] => {
                    let declare = matches!(how, Word::Declare);
                    let to = pipeline(rest)?;
                    Ok(Action::Node(Node::Set { variable: variable.clone(), declare, to }))
                }
                words => pipeline(words).map(|shown| Action::Node(Node::Show(shown))),
            },
        }
    }

    fn conditional(&mut self, condition: Pipeline, with: bool) -> Result<Node, String> {
        let mut branches = Vec::new();
        let mut condition = condition;
        loop {
            let (body, end) = self.block()?;
            branches.push((condition, body));
            match end {
                Some(Close::End) => return Ok(Node::If { branches, otherwise: Vec::new(), with }),
                Some(Close::Else) => {
                    let otherwise = self.last()?;
                    return Ok(Node::If { branches, otherwise, with });
                }
                Some(Close::ElseIf(words)) => match words.as_slice() {
                    [Word::Name(name), rest @ ..] if name == if with { "with" } else { "if" } => {
                        condition = pipeline(rest)?;
                    }
                    _ => return Err("`else` is followed by nothing or by `if`".to_owned()),
                },
                None => return Err("there is no {{end}}".to_owned()),
            }
        }
    }

    fn last(&mut self) -> Result<Vec<Node>, String> {
        match self.block()? {
            (body, Some(Close::End)) => Ok(body),
            (_, Some(_)) => Err("there is an {{else}} behind the last one".to_owned()),
            (_, None) => Err("there is no {{end}}".to_owned()),
        }
    }

    fn range(&mut self, words: &[Word]) -> Result<Node, String> {
        let (key, value, over) = match words {
            [Word::Variable(key), Word::Comma, Word::Variable(value), Word::Declare, over @ ..] => {
                (Some(key.clone()), Some(value.clone()), over)
            }
            [Word::Variable(value), Word::Declare, over @ ..] => (None, Some(value.clone()), over),
            over => (None, None, over),
        };
        let over = pipeline(over)?;
        let (body, end) = self.block()?;
        let otherwise = match end {
            Some(Close::End) => Vec::new(),
            Some(Close::Else) => self.last()?,
            Some(Close::ElseIf(_)) => return Err("the `else` of `range` has no condition".to_owned()),
            None => return Err("there is no {{end}}".to_owned()),
        };
        Ok(Node::Range { key, value, over, body, otherwise })
    }
}

enum Action {
    Node(Node),
    Close(Close),
}

fn pipeline(words: &[Word]) -> Result<Pipeline, String> {
    let mut words = words.iter().peekable();
    let pipeline = commands(&mut words, 0)?;
    match words.next() {
        None => Ok(pipeline),
        Some(_) => Err("a `)` has no `(`".to_owned()),
    }
}

type Words<'a> = std::iter::Peekable<std::slice::Iter<'a, Word>>;

/// Up to the end or to a `)`, which is left.
fn commands(words: &mut Words<'_>, depth: usize) -> Result<Pipeline, String> {
    if depth > MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} parentheses inside of each other"));
    }
    let mut commands = vec![Vec::new()];
    while let Some(word) = words.peek() {
        let operand = match word {
            Word::Close => break,
            Word::Pipe => {
                commands.push(Vec::new());
                words.next();
                continue;
            }
            Word::Comma | Word::Declare | Word::Assign => {
                return Err("a variable is set like {{$x := …}}".to_owned());
            }
            Word::Literal(value) => Operand::Literal(value.clone()),
            Word::Name(name) => Operand::Function(name.clone()),
            Word::Dot => Operand::Dot(Vec::new()),
            Word::Field { name, .. } => {
                let mut path = vec![name.clone()];
                words.next();
                path.extend(glued(words));
                push(&mut commands, Operand::Dot(path));
                continue;
            }
            Word::Variable(name) => {
                let name = name.clone();
                words.next();
                let path = glued(words);
                push(&mut commands, Operand::Variable(name, path));
                continue;
            }
            Word::Open => {
                words.next();
                let inner = self::commands(words, depth + 1)?;
                if words.next() != Some(&Word::Close) {
                    return Err("a `(` is not closed".to_owned());
                }
                let path = glued(words);
                push(&mut commands, Operand::Inner(inner, path));
                continue;
            }
        };
        words.next();
        push(&mut commands, operand);
    }
    if commands.iter().any(Vec::is_empty) {
        return Err("a value or a function is missing".to_owned());
    }
    Ok(Pipeline(commands))
}

fn push(commands: &mut [Vec<Operand>], operand: Operand) {
    if let Some(last) = commands.last_mut() {
        last.push(operand);
    }
}

fn glued(words: &mut Words<'_>) -> Vec<String> {
    let mut path = Vec::new();
    while let Some(Word::Field { name, glued: true }) = words.peek() {
        path.push(name.clone());
        words.next();
    }
    path
}
