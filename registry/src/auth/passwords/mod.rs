//! Logins with a name and a secret: the password file, then users and robots of the catalog, then whatever outside
//! issuers sign.
//!
//! What a failed login costs does not depend on the name: one hash of each cost in use is computed, whether or
//! not the name is known (R27). What it may cost in total is bounded by turns (`turns`) and by counting failures
//! (`throttle`, R28). Whoever came in well a moment ago is known without a hash (`recent`), so that neither
//! bound touches them.

mod hash;
mod htpasswd;
mod recent;
pub mod secret;
mod standing;
mod throttle;
mod turns;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use futures_util::future::BoxFuture;

use self::{
    hash::{Cost, StoredHash},
    htpasswd::Htpasswd,
    recent::{Mark, Memory, Recent},
    throttle::Throttle,
    turns::Turns,
};
use super::{AuthError, FederatedLogin, Passwords, Principal, Subject, tokens::may_be_password};
use crate::{
    catalog::{Catalog, RobotRow, UserRow},
    clock::{Clock, Timestamp},
};

pub use htpasswd::HtpasswdError;

/// Bytes of a password or a robot's secret at most. Longer ones are wrong without being hashed.
pub const LONGEST_SECRET: usize = 1 << 10;
/// Bytes of a token of an outside issuer at most.
const LONGEST_TOKEN: usize = 16 << 10;
/// The same for a name nobody has and for a wrong secret.
const WRONG: &str = "the name or the password is wrong";
/// How exact the time of the last login is.
const LOGINS_NOTED: Duration = Duration::from_hours(1);

/// Where names and secrets are known.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file of names and hashes.
    pub htpasswd: Option<PathBuf>,
    /// Subjects that administer besides users of the catalog that are marked so.
    pub admins: Vec<String>,
}

/// Checks names and secrets.
#[derive(Debug)]
pub struct Logins {
    htpasswd: Option<Arc<Htpasswd>>,
    admins: Vec<String>,
    catalog: Arc<dyn Catalog>,
    federated: OnceLock<Arc<dyn FederatedLogin>>,
    clock: Arc<dyn Clock>,
    recent: Recent,
    /// Holders of certificates, whose groups are known for a moment.
    holders: Recent,
    throttle: Throttle,
    turns: Turns,
    #[cfg(test)]
    spent: std::sync::Mutex<Vec<Cost>>,
}

/// Somebody of that name, and what their secret is checked against.
struct Account {
    principal: Principal,
    stored: Stored,
    /// Not disabled, and not expired.
    usable: bool,
    last_login_at: Option<Timestamp>,
}

#[derive(Clone)]
enum Stored {
    Password(StoredHash),
    Fingerprint(Vec<u8>),
}

impl Stored {
    /// What changes when the secret does.
    fn proof(&self) -> Arc<[u8]> {
        match self {
            Self::Password(hash) => hash.text().as_bytes().into(),
            Self::Fingerprint(bytes) => bytes.as_slice().into(),
        }
    }
}

impl Logins {
    /// Reads the password file, which blocks, and knows everybody in it and in `catalog`.
    ///
    /// # Errors
    /// When the password file cannot be used.
    pub fn new(
        sources: Sources,
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HtpasswdError> {
        let htpasswd = sources.htpasswd.map(Htpasswd::load).transpose()?.map(Arc::new);
        Ok(Self {
            htpasswd,
            admins: sources.admins,
            catalog,
            federated: OnceLock::new(),
            clock,
            recent: Recent::new(),
            holders: Recent::new(),
            throttle: Throttle::new(),
            turns: Turns::new(),
            #[cfg(test)]
            spent: std::sync::Mutex::default(),
        })
    }

    /// Takes what outside issuers sign as passwords, too; from the first that is given here on.
    pub fn federate(&self, federated: Arc<dyn FederatedLogin>) {
        self.federated.get_or_init(|| federated);
    }

    /// To be told when an account or a group was changed: whoever is known is looked at again before their next
    /// request is answered.
    pub fn changed(&self) {
        self.recent.changed();
        self.holders.changed();
    }

    /// Makes the hash of a new password, as the catalog keeps it.
    ///
    /// # Errors
    /// [`AuthError::TooMany`] where too many hash already; [`AuthError::Invalid`] for a password that is none.
    pub async fn hash(&self, password: &str) -> Result<String, AuthError> {
        check_password(password).map_err(|rule| AuthError::Invalid(rule.to_owned()))?;
        let password = password.to_owned();
        let hash = self.turns.run(|| Ok(()), move || StoredHash::of(&password)).await?;
        hash.map(|hash| hash.text().to_owned()).map_err(AuthError::Invalid)
    }

    /// Whether the password file has this name, so that no user of the catalog can have it.
    #[must_use]
    pub fn is_in_file(&self, name: &str) -> bool {
        self.htpasswd.as_ref().is_some_and(|file| file.knows(name))
    }

    /// Whether the password file has anybody.
    #[must_use]
    pub fn has_file_users(&self) -> bool {
        self.htpasswd.as_ref().is_some_and(|file| !file.is_empty())
    }

    fn principal(&self, subject: Subject, groups: Vec<String>, admin: bool) -> Principal {
        let admin = admin || self.admins.contains(&subject.to_string());
        Principal { subject, groups, admin, ..Principal::default() }
    }

    /// Who has the name: the first source that knows it decides.
    async fn account(&self, name: &str, now: Timestamp) -> Result<Option<Account>, AuthError> {
        if let Some(file) = &self.htpasswd
            && let Some(hash) = file.hash(name, now).await
        {
            let subject = Subject::User(name.to_owned());
            let groups = self.catalog.groups_of(&subject.to_string()).await?;
            return Ok(Some(Account {
                principal: self.principal(subject, groups, false),
                stored: Stored::Password(hash),
                usable: true,
                last_login_at: Some(now),
            }));
        }
        if name.contains('/') {
            let Some(row) = self.catalog.robot(name).await? else { return Ok(None) };
            let groups = self.catalog.groups_of(&format!("robot:{name}")).await?;
            return Ok(Some(self.robot(row, groups, now)));
        }
        let Some(row) = self.catalog.user(name).await? else { return Ok(None) };
        let groups = self.catalog.groups_of(&format!("user:{name}")).await?;
        Ok(Some(self.user(row, groups)?))
    }

    fn user(&self, row: UserRow, groups: Vec<String>) -> Result<Account, AuthError> {
        let hash = StoredHash::parse(&row.hash)
            .map_err(|fault| crate::catalog::CatalogError::Corrupt(fault.into()))?;
        Ok(Account {
            principal: self.principal(Subject::User(row.name), groups, row.admin),
            stored: Stored::Password(hash),
            usable: !row.disabled,
            last_login_at: row.last_login_at,
        })
    }

    fn robot(&self, row: RobotRow, groups: Vec<String>, now: Timestamp) -> Account {
        Account {
            principal: self.principal(Subject::Robot(row.name), groups, false),
            stored: Stored::Fingerprint(row.secret_hash),
            usable: !row.disabled && row.expires_at.is_none_or(|end| now < end),
            last_login_at: row.last_login_at,
        }
    }

    /// Whoever came in with this a moment ago, if their account is as it was.
    async fn recall(&self, mark: &Mark, name: &str, now: Timestamp) -> Result<Option<Principal>, AuthError> {
        let proof = match self.recent.recall(mark, now) {
            Memory::Fresh(principal) => return Ok(Some(principal)),
            Memory::None => return Ok(None),
            Memory::Stale(proof) => proof,
        };
        let generation = self.recent.generation();
        match self.account(name, now).await? {
            Some(account) if account.usable && account.stored.proof() == proof => {
                self.recent.remember(*mark, &account.principal, proof, now, generation);
                self.note(&account, now).await;
                Ok(Some(account.principal))
            }
            Some(_) | None => {
                self.recent.forget(mark);
                Ok(None)
            }
        }
    }

    /// Checks a secret. Fails at the same cost for whatever account, and for none.
    async fn is_right(
        &self,
        account: Option<&Account>,
        name: &str,
        secret: &str,
        from: IpAddr,
    ) -> Result<bool, AuthError> {
        let usable = account.is_some_and(|account| account.usable);
        if name.contains('/') {
            let kept = account.map(|account| account.stored.proof()).unwrap_or_default();
            let same = verify_slices_are_equal(&secret::fingerprint(secret), &kept).is_ok();
            return Ok(same && usable);
        }
        let hash = account.and_then(|account| match &account.stored {
            Stored::Password(hash) => Some(hash.clone()),
            Stored::Fingerprint(_) => None,
        });
        let mut costs = self.htpasswd.as_ref().map_or_else(BTreeSet::new, |file| file.costs());
        costs.insert(Cost::OURS);
        let secret = secret.to_owned();
        let still = || self.throttled(name, from);
        let (right, spent) =
            self.turns.run(still, move || check(&secret, hash.as_ref(), usable, costs)).await?;
        self.spent(&spent);
        Ok(right)
    }

    /// A user or robot as it is now; `None` where there is none any more, or it is shut out. Others are as they say,
    /// in the groups that the catalog knows.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn standing(&self, subject: &Subject) -> Result<Option<Principal>, AuthError> {
        match subject {
            Subject::User(name) | Subject::Robot(name) => {
                let account = self.account(name, self.clock.now()).await?;
                Ok(account
                    .filter(|account| account.usable && account.principal.subject == *subject)
                    .map(|account| account.principal))
            }
            Subject::Certificate(_) | Subject::Federated { .. } | Subject::Anonymous | Subject::Local => {
                let groups = self.catalog.groups_of(&subject.to_string()).await?;
                Ok(Some(self.principal(subject.clone(), groups, false)))
            }
        }
    }

    fn throttled(&self, name: &str, from: IpAddr) -> Result<(), AuthError> {
        match self.throttle.wait(name, from, self.clock.now()) {
            Some(retry_after) => Err(AuthError::TooMany { retry_after }),
            None => Ok(()),
        }
    }

    /// Whether the password file or the catalog has somebody of this name. Where the catalog does not say, nobody.
    async fn has(&self, name: &str) -> bool {
        let account = self.account(name, self.clock.now()).await;
        account.is_ok_and(|account| account.is_some())
    }

    fn wrong(&self, name: &str, from: IpAddr) -> AuthError {
        self.throttle.failed(name, from, self.clock.now());
        // Not the name: people type passwords where names belong.
        tracing::info!(%from, "A login failed");
        AuthError::Invalid(WRONG.to_owned())
    }

    /// Notes when somebody came, now and then. Whoever is let in does not wait for a catalog that cannot write.
    async fn note(&self, account: &Account, now: Timestamp) {
        if account.last_login_at.is_some_and(|at| at <= now && now < at + LOGINS_NOTED) {
            return;
        }
        let noted = match &account.principal.subject {
            Subject::User(name) => self.catalog.user_came(name, now).await,
            Subject::Robot(name) => self.catalog.robot_came(name, now).await,
            Subject::Anonymous | Subject::Federated { .. } | Subject::Certificate(_) | Subject::Local => {
                Ok(())
            }
        };
        if let Err(error) = noted {
            tracing::warn!("The time of a login could not be noted: {error}");
        }
    }

    /// Whom an outside issuer vouches for, where the secret looks like what they sign.
    async fn outside(&self, name: &str, secret: &str, from: IpAddr) -> Result<Option<Principal>, AuthError> {
        let Some(federated) = self.federated.get() else { return Ok(None) };
        if secret.len() > LONGEST_TOKEN || !may_be_password(secret) {
            return Ok(None);
        }
        self.throttled(name, from)?;
        match federated.login(name, secret).await {
            Err(AuthError::Invalid(why)) => {
                self.throttle.failed(name, from, self.clock.now());
                Err(AuthError::Invalid(why))
            }
            answer => answer,
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests count")]
    fn spent(&self, _costs: &[Cost]) {}

    #[cfg(test)]
    fn spent(&self, costs: &[Cost]) {
        self.spent.lock().unwrap().extend(costs);
    }
}

/// Whether the secret is right and may be used, and the costs of all that was computed. Unless it is, that is
/// each of `costs` once.
fn check(
    secret: &str,
    hash: Option<&StoredHash>,
    usable: bool,
    mut costs: BTreeSet<Cost>,
) -> (bool, Vec<Cost>) {
    let mut spent = Vec::new();
    if let Some(hash) = hash {
        costs.remove(&hash.cost());
        spent.push(hash.cost());
        if hash.is_of(secret) && usable {
            return (true, spent);
        }
    }
    for cost in costs {
        cost.spend(secret.as_bytes());
        spent.push(cost);
    }
    (false, spent)
}

/// Checks a new password.
///
/// # Errors
/// The rule that it breaks, as a sentence.
pub fn check_password(password: &str) -> Result<(), &'static str> {
    if password.chars().count() < 8 {
        return Err("a password has at least 8 characters");
    }
    if password.len() > LONGEST_SECRET {
        return Err("a password has at most 1024 bytes");
    }
    if password.chars().any(char::is_control) {
        return Err("a password has no control characters");
    }
    Ok(())
}

#[async_trait]
impl Passwords for Logins {
    async fn login(&self, name: &str, secret: &str, from: IpAddr) -> Result<Principal, AuthError> {
        if let Some(principal) = self.outside(name, secret, from).await? {
            return Ok(principal);
        }
        if name.is_empty() || secret.is_empty() || secret.len() > LONGEST_SECRET {
            self.throttled(name, from)?;
            return Err(self.wrong(name, from));
        }
        let now = self.clock.now();
        let mark = self.recent.mark(name, secret);
        if let Some(principal) = self.recall(&mark, name, now).await? {
            return Ok(principal);
        }
        self.throttled(name, from)?;
        let generation = self.recent.generation();
        let account = self.account(name, now).await?;
        let right = self.is_right(account.as_ref(), name, secret, from).await?;
        match account {
            Some(account) if right => {
                self.throttle.came_in(name, from);
                self.recent.remember(mark, &account.principal, account.stored.proof(), now, generation);
                self.note(&account, now).await;
                Ok(account.principal)
            }
            Some(_) | None => Err(self.wrong(name, from)),
        }
    }

    async fn attempt(
        &self,
        secret: &str,
        from: IpAddr,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError> {
        // A secret is its own name, and is not remembered as it is.
        let mark = secret::fingerprint(secret)
            .iter()
            .fold("token ".to_owned(), |mark, byte| format!("{mark}{byte:02x}"));
        if !self.throttle.is_familiar(&mark, from) {
            self.throttled(&mark, from)?;
        }
        let found = look.await;
        match &found {
            Ok(_) => self.throttle.came_in(&mark, from),
            Err(AuthError::Invalid(_)) => {
                self.throttle.failed(&mark, from, self.clock.now());
                tracing::info!(%from, "A login with a token failed");
            }
            Err(AuthError::TooMany { .. } | AuthError::Catalog(_)) => {}
        }
        found
    }

    async fn knows(&self, name: &str) -> bool {
        self.has(name).await
    }

    async fn certificate(&self, name: &str) -> Result<Principal, AuthError> {
        let now = self.clock.now();
        let mark = self.holders.mark(name, "");
        if let Memory::Fresh(principal) = self.holders.recall(&mark, now) {
            return Ok(principal);
        }
        let generation = self.holders.generation();
        let subject = Subject::Certificate(name.to_owned());
        let groups = self.catalog.groups_of(&subject.to_string()).await?;
        let principal = self.principal(subject, groups, false);
        self.holders.remember(mark, &principal, Arc::from([]), now, generation);
        Ok(principal)
    }
}

#[cfg(test)]
mod tests;
