//! Messages of nf_tables: one table of ours, replaced as a whole. A batch is done by the kernel all or not at all, so
//! there is never half a set of rules.

use std::{io, net::IpAddr};

use super::{
    netlink::{APPEND, CREATE, Message, Socket, attributes},
    pool,
    subnet::Subnet,
};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;

const UNSPECIFIED: u8 = 0;
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

const REGISTER_1: u32 = 1;
const REGISTER_2: u32 = 2;

/// Where a chain hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// `filter` or `nat`.
    pub(crate) kind: &'static str,
    /// Which hook.
    pub(crate) at: At,
    /// Chains of lower numbers come first.
    pub(crate) priority: i32,
}

/// Hooks of the `inet` family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Packets from outside, before their way is looked up.
    Prerouting = 0,
    /// Packets that only pass.
    Forward = 2,
    /// Packets of this machine.
    Output = 3,
    /// Packets that leave.
    Postrouting = 4,
}

/// One step of a rule.
#[derive(Clone, Debug)]
enum Step {
    Meta(u32),
    Payload { base: u32, offset: u32, length: u32 },
    Mask(Vec<u8>),
    Compare { how: u32, value: Vec<u8> },
    Ct(u32),
    AddressType { flags: u32 },
    Verdict { code: i32, chain: Option<&'static str> },
    Nat { to: IpAddr, port: Option<u16> },
    Masquerade,
}

const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

/// A rule: conditions, then what is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    steps: Vec<Step>,
}

impl Rule {
    /// A rule for every packet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn with(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    fn interface(self, key: u32, how: u32, name: &str) -> Self {
        let mut value = name.as_bytes().to_vec();
        value.resize(16, 0);
        self.with([Step::Meta(key), Step::Compare { how, value }])
    }

    /// Packets that came by this interface.
    pub(crate) fn from(self, interface: &str) -> Self {
        self.interface(6, EQUAL, interface)
    }

    /// Packets that leave by this interface.
    pub(crate) fn to(self, interface: &str) -> Self {
        self.interface(7, EQUAL, interface)
    }

    /// Packets that leave by another interface.
    pub(crate) fn not_to(self, interface: &str) -> Self {
        self.interface(7, UNEQUAL, interface)
    }

    fn version(self, address: IpAddr) -> Self {
        let version = if address.is_ipv4() { IPV4 } else { IPV6 };
        self.with([Step::Meta(15), Step::Compare { how: EQUAL, value: vec![version] }])
    }

    fn address(self, range: Subnet, source: bool) -> Self {
        let (value, offset): (Vec<u8>, u32) = match (range.network().address, source) {
            (IpAddr::V4(address), true) => (address.octets().to_vec(), 12),
            (IpAddr::V4(address), false) => (address.octets().to_vec(), 16),
            (IpAddr::V6(address), true) => (address.octets().to_vec(), 8),
            (IpAddr::V6(address), false) => (address.octets().to_vec(), 24),
        };
        let length = u32::try_from(value.len()).unwrap_or_default();
        let bits = (0..value.len() * 8).map(|bit| bit < usize::from(range.prefix)).collect::<Vec<_>>();
        let mask =
            bits.chunks(8).map(|byte| byte.iter().fold(0, |mask, bit| mask << 1 | u8::from(*bit))).collect();
        self.version(range.address).with([
            Step::Payload { base: 1, offset, length },
            Step::Mask(mask),
            Step::Compare { how: EQUAL, value },
        ])
    }

    /// Packets from these addresses.
    pub(crate) fn source(self, range: Subnet) -> Self {
        self.address(range, true)
    }

    /// Packets to these addresses.
    pub(crate) fn destination(self, range: Subnet) -> Self {
        self.address(range, false)
    }

    /// Packets to an address of this machine, of the version of `like`.
    pub(crate) fn for_this_machine(self, like: IpAddr) -> Self {
        self.version(like).address_type(2)
    }

    /// Packets from an address of this machine.
    pub(crate) fn of_this_machine(self) -> Self {
        self.address_type(1)
    }

    fn address_type(self, flags: u32) -> Self {
        const LOCAL: u32 = 2;
        let local = Step::Compare { how: EQUAL, value: LOCAL.to_ne_bytes().to_vec() };
        self.with([Step::AddressType { flags }, local])
    }

    /// Packets to one of these ports of a protocol.
    pub(crate) fn ports(self, protocol: u8, first: u16, last: u16) -> Self {
        let protocol = [Step::Meta(16), Step::Compare { how: EQUAL, value: vec![protocol] }];
        let port = |how, port: u16| Step::Compare { how, value: port.to_be_bytes().to_vec() };
        let rule = self.with(protocol).with([Step::Payload { base: 2, offset: 2, length: 2 }]);
        if first == last {
            rule.with([port(EQUAL, first)])
        } else {
            rule.with([port(AT_LEAST, first), port(AT_MOST, last)])
        }
    }

    fn connection(self, key: u32, bits: u32) -> Self {
        let zero = Step::Compare { how: UNEQUAL, value: vec![0; 4] };
        self.with([Step::Ct(key), Step::Mask(bits.to_ne_bytes().to_vec()), zero])
    }

    /// Packets of connections that are known.
    pub(crate) fn established(self) -> Self {
        const ESTABLISHED_AND_RELATED: u32 = 2 | 4;
        self.connection(0, ESTABLISHED_AND_RELATED)
    }

    /// Packets of connections whose destination was changed: published ports.
    pub(crate) fn published(self) -> Self {
        const DESTINATION_CHANGED: u32 = 1 << 5;
        self.connection(2, DESTINATION_CHANGED)
    }

    /// They pass.
    pub(crate) fn accept(self) -> Self {
        self.with([Step::Verdict { code: 1, chain: None }])
    }

    /// They are gone.
    pub(crate) fn drop(self) -> Self {
        self.with([Step::Verdict { code: 0, chain: None }])
    }

    /// Another chain goes on.
    pub(crate) fn jump(self, chain: &'static str) -> Self {
        self.with([Step::Verdict { code: -3, chain: Some(chain) }])
    }

    /// They go to a container; without a port to the one that they were sent to.
    pub(crate) fn redirect(self, to: IpAddr, port: Option<u16>) -> Self {
        self.with([Step::Nat { to, port }])
    }

    /// They get this machine's address.
    pub(crate) fn masquerade(self) -> Self {
        self.with([Step::Masquerade])
    }
}

fn data(message: &mut Message, kind: u16, value: &[u8]) {
    message.nest(kind, |data| {
        data.put(1, value);
    });
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta(_) => "meta",
            Self::Payload { .. } => "payload",
            Self::Mask(_) => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Ct(_) => "ct",
            Self::AddressType { .. } => "fib",
            Self::Verdict { .. } => "immediate",
            Self::Nat { .. } => "nat",
            Self::Masquerade => "masq",
        }
    }

    fn write(&self, into: &mut Message) {
        if let Self::Nat { to, port } = self {
            let octets = match to {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            load(into, REGISTER_1, &octets);
            if let Some(port) = port {
                load(into, REGISTER_2, &port.to_be_bytes());
            }
        }
        element(into, self.name(), |inside| self.inside(inside));
    }

    fn inside(&self, message: &mut Message) {
        match self {
            Self::Meta(key) => {
                message.big(1, REGISTER_1).big(2, *key);
            }
            Self::Payload { base, offset, length } => {
                message.big(1, REGISTER_1).big(2, *base).big(3, *offset).big(4, *length);
            }
            Self::Mask(mask) => {
                let length = u32::try_from(mask.len()).unwrap_or_default();
                message.big(1, REGISTER_1).big(2, REGISTER_1).big(3, length);
                data(message, 4, mask);
                data(message, 5, &vec![0; mask.len()]);
            }
            Self::Compare { how, value } => {
                message.big(1, REGISTER_1).big(2, *how);
                data(message, 3, value);
            }
            Self::Ct(key) => {
                message.big(1, REGISTER_1).big(2, *key);
            }
            Self::AddressType { flags } => {
                message.big(1, REGISTER_1).big(2, 3).big(3, *flags);
            }
            Self::Verdict { code, chain } => {
                message.big(1, 0).nest(2, |data| {
                    data.nest(2, |verdict| {
                        verdict.put(1, &code.to_be_bytes());
                        if let Some(chain) = chain {
                            verdict.text(2, chain);
                        }
                    });
                });
            }
            Self::Nat { to, port } => {
                let family = if to.is_ipv4() { IPV4 } else { IPV6 };
                message.big(1, 1).big(2, u32::from(family)).big(3, REGISTER_1);
                if port.is_some() {
                    message.big(5, REGISTER_2);
                }
            }
            Self::Masquerade => {}
        }
    }
}

fn element(message: &mut Message, name: &str, inside: impl FnOnce(&mut Message)) {
    message.nest(1, |element| {
        element.text(1, name).nest(2, inside);
    });
}

fn load(message: &mut Message, register: u32, value: &[u8]) {
    element(message, "immediate", |inside| {
        inside.big(1, register);
        data(inside, 2, value);
    });
}

/// A table as it shall be.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    name: String,
    chains: Vec<(&'static str, Option<Hook>)>,
    rules: Vec<(&'static str, Rule)>,
}

impl Table {
    /// A table with these chains and no rules.
    pub(crate) fn new(name: &str, chains: &[(&'static str, Option<Hook>)]) -> Self {
        Self { name: name.to_owned(), chains: chains.to_vec(), rules: Vec::new() }
    }

    /// Adds a rule at the end of a chain.
    pub(crate) fn add(&mut self, chain: &'static str, rule: Rule) {
        self.rules.push((chain, rule));
    }

    fn message(kind: u16, flags: u16) -> Message {
        Message::new(SUBSYSTEM << 8 | kind, flags, &[INET, 0, 0, 0])
    }

    fn batch(inside: Vec<Message>) -> Vec<Message> {
        // The third and fourth byte name the subsystem that the batch is for.
        let mark = |kind| Message::new(kind, 0, &[UNSPECIFIED, 0, 0, SUBSYSTEM.to_be_bytes()[1]]);
        let mut batch = vec![mark(BATCH_BEGIN)];
        batch.extend(inside);
        batch.push(mark(BATCH_END));
        batch
    }

    /// What this table is, in short: two that differ have different ones.
    pub(crate) fn fingerprint(&self) -> u64 {
        let bytes: Vec<u8> = self.messages().iter().flat_map(|message| message.bytes().to_vec()).collect();
        pool::hash(&bytes)
    }

    /// The number that the kernel gave the table of a name when it was made; no other ever gets it.
    pub(crate) fn handle(name: &str, socket: &mut Socket) -> io::Result<Option<u64>> {
        let mut message = Self::message(GET_TABLE, 0);
        message.text(1, name);
        let answers = match socket.get(message) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            answers => answers?,
        };
        let found = answers.iter().flat_map(|answer| attributes(answer.body.get(4..).unwrap_or_default()));
        let mut handles = found.filter(|(kind, _)| *kind == 4);
        Ok(handles.find_map(|(_, value)| value.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))))
    }

    fn messages(&self) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.rules.len() + self.chains.len() + 2);
        let mut table = Self::message(NEW_TABLE, CREATE);
        table.text(1, &self.name);
        messages.push(table);
        for (name, hook) in &self.chains {
            let mut chain = Self::message(NEW_CHAIN, CREATE);
            chain.text(1, &self.name).text(3, name);
            if let Some(hook) = hook {
                chain.nest(4, |inside| {
                    inside.big(1, hook.at as u32).put(2, &hook.priority.to_be_bytes());
                });
                chain.text(7, hook.kind);
            }
            messages.push(chain);
        }
        let mut flush = Self::message(DELETE_RULE, 0);
        flush.text(1, &self.name);
        messages.push(flush);
        for (chain, rule) in &self.rules {
            let mut message = Self::message(NEW_RULE, CREATE | APPEND);
            message.text(1, &self.name).text(2, chain).nest(4, |steps| {
                rule.steps.iter().for_each(|step| step.write(steps));
            });
            messages.push(message);
        }
        messages
    }

    /// Puts the table in place of the one of its name. Chains stay where they hang, rules are replaced.
    pub(crate) fn replace(&self, socket: &mut Socket) -> io::Result<()> {
        socket.transact(Self::batch(self.messages())).map_err(|(index, error)| {
            let rule = index.checked_sub(3 + self.chains.len()).and_then(|index| self.rules.get(index));
            let what = rule.map_or_else(
                || format!("table inet {}", self.name),
                |(chain, rule)| {
                    let steps: Vec<_> = rule.steps.iter().map(Step::name).collect();
                    format!("rule {} of chain {chain} ({})", index - 3 - self.chains.len(), steps.join(" "))
                },
            );
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })
    }

    /// Takes the table of a name away; one that is not there is gone.
    pub(crate) fn remove(name: &str, socket: &mut Socket) -> io::Result<()> {
        // Made first where it is not there, so that the removal never fails for that.
        let mut make = Self::message(NEW_TABLE, CREATE);
        make.text(1, name);
        let mut remove = Self::message(DELETE_TABLE, 0);
        remove.text(1, name);
        socket.transact(Self::batch(vec![make, remove])).map_err(|(_, error)| error)
    }
}
