//! What a connection itself says about who is at its other end. Requests carry it in their extensions, which
//! no byte of a request can set.

use super::Principal;

/// Who it is, without any credentials: whoever may open the control socket or the data directory.
#[derive(Clone, Debug)]
pub struct Trusted(pub Principal);

/// The name in the client certificate that the TLS handshake verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate(pub String);
