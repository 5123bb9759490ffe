//! Several servers on one database and one bucket, behind a balancer.

use std::time::Duration;

use super::{Balancer, Berth, BerthBuilder, HarnessError, Hop, OutsideStack, Result, Stack};

/// Replicas of one registry.
#[derive(Debug)]
pub struct Replicas {
    balancer: Balancer,
    replicas: Vec<Berth>,
    stack: OutsideStack,
}

impl Replicas {
    /// So many on a fresh database and bucket; all are ready.
    pub fn start(count: usize, hop: Hop) -> Result<Self> {
        Self::with(OutsideStack::shared()?, count, hop, |_, builder| builder)
    }

    /// As [`Self::start`], on this stack, each with what `each` adds to it. They start at the same time, on a database
    /// that may be empty.
    pub fn with(
        stack: OutsideStack,
        count: usize,
        hop: Hop,
        mut each: impl FnMut(usize, BerthBuilder) -> BerthBuilder,
    ) -> Result<Self> {
        let mut replicas = Vec::new();
        for at in 0..count {
            let builder = Berth::builder().stack(Stack::Outside(stack.clone()));
            replicas.push(each(at, builder).prepare()?);
        }
        for replica in &mut replicas {
            replica.launch()?;
        }
        for replica in &mut replicas {
            replica.wait_ready()?;
        }
        let ports: Vec<_> = replicas.iter().map(Berth::port).collect();
        Ok(Self { balancer: Balancer::start(&ports, hop)?, replicas, stack })
    }

    /// The balancer's URL.
    pub fn url(&self) -> String {
        self.balancer.url()
    }

    /// The balancer, as in the name of an image.
    pub fn host(&self) -> String {
        self.balancer.host()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.replicas.len()
    }

    /// One of them; they are counted round and round.
    pub fn replica(&mut self, at: usize) -> &mut Berth {
        let count = self.replicas.len();
        &mut self.replicas[at % count]
    }

    /// URLs past the balancer.
    pub fn urls(&self) -> Vec<String> {
        self.replicas.iter().map(Berth::url).collect()
    }

    /// What they share.
    pub fn stack(&self) -> &OutsideStack {
        &self.stack
    }

    /// Restarts each in its turn, as an upgrade would: asked to stop, waited for, started, waited for. How long the
    /// slowest took to be ready.
    pub fn roll(&mut self, limit: Duration) -> Result<Duration> {
        let mut slowest = Duration::ZERO;
        for replica in &mut self.replicas {
            replica.signal(super::Signal::TERM);
            let status = replica.wait(limit)?;
            if !status.success() {
                return Err(HarnessError::Unexpected(format!(
                    "a replica ended with {status}: {}",
                    replica.logs()
                )));
            }
            slowest = slowest.max(replica.start()?);
        }
        Ok(slowest)
    }
}
