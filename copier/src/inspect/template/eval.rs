//! The tree and the data to text.

use super::{
    MAX_OUTPUT, MAX_STEPS, Value, function,
    parse::{Node, Operand, Pipeline},
};

/// Renders the tree.
pub(super) fn run(nodes: &[Node], data: &Value) -> Result<String, String> {
    let mut run = Run { out: String::new(), steps: 0, variables: vec![(String::new(), data.clone())] };
    run.nodes(nodes, data)?;
    Ok(run.out)
}

/// What a key that a map has not gives: it is shown so, and counts as empty.
const NO_VALUE: &str = "<no value>";

struct Run {
    out: String,
    steps: usize,
    variables: Vec<(String, Value)>,
}

impl Run {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(format!("it takes more than {MAX_STEPS} steps"));
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return Err(format!("it makes more than {MAX_OUTPUT} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    /// A block with variables of its own.
    fn block(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        let outside = self.variables.len();
        let done = self.nodes(nodes, dot);
        self.variables.truncate(outside);
        done
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), String> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text),
            Node::Show(pipeline) => {
                let shown = self.pipeline(pipeline, dot)?.map_or_else(|| NO_VALUE.to_owned(), |v| v.show());
                self.write(&shown)
            }
            Node::Set { variable, declare: true, to } => {
                let value = self.value(to, dot)?;
                self.variables.push((variable.clone(), value));
                Ok(())
            }
            Node::Set { variable, declare: false, to } => {
                let value = self.value(to, dot)?;
                let slot = self.variables.iter_mut().rev().find(|(name, _)| name == variable);
                slot.ok_or_else(|| format!("there is no variable ${variable}"))?.1 = value;
                Ok(())
            }
            Node::If { branches, otherwise, with } => {
                for (condition, body) in branches {
                    let value = self.value(condition, dot)?;
                    if !value.is_empty() {
                        return self.block(body, if *with { &value } else { dot });
                    }
                }
                self.block(otherwise, dot)
            }
            Node::Range { key, value, over, body, otherwise } => {
                let elements = elements(self.value(over, dot)?)?;
                if elements.is_empty() {
                    return self.block(otherwise, dot);
                }
                for (place, element) in elements {
                    let outside = self.variables.len();
                    let named = [(key, &place), (value, &element)];
                    let named = named.into_iter().filter_map(|(name, v)| Some((name.clone()?, v.clone())));
                    self.variables.extend(named);
                    let done = self.nodes(body, &element);
                    self.variables.truncate(outside);
                    done?;
                }
                Ok(())
            }
        }
    }

    fn value(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        Ok(self.pipeline(pipeline, dot)?.unwrap_or(Value::Nothing))
    }

    /// `None` is what a map has not.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Option<Value>, String> {
        let mut last: Option<Option<Value>> = None;
        for command in &pipeline.0 {
            self.step()?;
            let [head, arguments @ ..] = command.as_slice() else { continue };
            let piped = last.take();
            let given = if let Operand::Function(name) = head {
                let mut values = Vec::with_capacity(arguments.len() + 1);
                for argument in arguments {
                    values.push(self.operand(argument, dot)?.unwrap_or(Value::Nothing));
                }
                values.extend(piped.map(|value| value.unwrap_or(Value::Nothing)));
                Some(function::call(name, &values)?)
            } else if arguments.is_empty() && piped.is_none() {
                self.operand(head, dot)?
            } else {
                return Err("only functions take arguments; known are ".to_owned() + function::NAMES);
            };
            last = Some(given);
        }
        Ok(last.flatten())
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Option<Value>, String> {
        self.step()?;
        match operand {
            Operand::Literal(value) => Ok(Some(value.clone())),
            Operand::Function(name) => function::call(name, &[]).map(Some),
            Operand::Dot(path) => walk(dot, path),
            Operand::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                walk(&found.ok_or_else(|| format!("there is no variable ${name}"))?.1, path)
            }
            Operand::Inner(pipeline, path) => match self.pipeline(pipeline, dot)? {
                Some(value) => walk(&value, path),
                None if path.is_empty() => Ok(None),
                None => Err(format!(".{} of nothing", path.join("."))),
            },
        }
    }
}

fn walk(from: &Value, path: &[String]) -> Result<Option<Value>, String> {
    let mut at = from.clone();
    for (place, name) in path.iter().enumerate() {
        at = match &at {
            Value::Struct(fields) => match fields.iter().find(|field| field.name == name) {
                Some(field) => field.value.clone(),
                None => {
                    let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                    return Err(format!("there is no field .{name}; known are {}", known.join(", ")));
                }
            },
            Value::Map(map) => match map.as_ref().and_then(|map| map.get(name)) {
                Some(value) => value.clone(),
                None if place + 1 == path.len() => return Ok(None),
                None => return Err(format!(".{} of nothing", path[place + 1..].join("."))),
            },
            other => return Err(format!("there is no field .{name} in {}", other.kind())),
        };
    }
    Ok(Some(at))
}

/// Elements with their places or keys. An object is itself, once: Skopeo's data is a list of one, and templates that
/// were written for it range over it.
fn elements(value: Value) -> Result<Vec<(Value, Value)>, String> {
    let place = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    match value {
        Value::Nothing | Value::List(None) | Value::Map(None) => Ok(Vec::new()),
        Value::List(Some(list)) => Ok(list.iter().enumerate().map(|(n, v)| (place(n), v.clone())).collect()),
        Value::Map(Some(map)) => Ok(map.iter().map(|(k, v)| (Value::text(k), v.clone())).collect()),
        object @ Value::Struct(_) => Ok(vec![(place(0), object)]),
        other => Err(format!("`range` goes over lists and maps, and this is {}", other.kind())),
    }
}
