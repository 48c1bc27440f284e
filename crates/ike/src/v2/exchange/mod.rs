//! One file per exchange, both roles side by side.

pub(crate) mod auth;
pub(crate) mod create_child;
pub(crate) mod informational;
pub(crate) mod init;
pub(crate) mod rekey_child;
pub(crate) mod rekey_ike;

use crate::event::{ChildId, DownReason};
use crate::wire::{ExchangeType, Notify, NotifyType, Payload};

/// What the outstanding request was for: what its response is given to.
#[derive(Debug)]
pub(crate) enum Exchange {
    Init(Box<init::InitRequest>),
    Auth(Box<auth::AuthRequest>),
    CreateChild(Box<create_child::ChildOffer>),
    RekeyChild(Box<rekey_child::ChildRekey>),
    RekeyIke(Box<rekey_ike::IkeOffer>),
    DeleteChildren(Vec<ChildId>),
    DeleteIke(DownReason),
    Liveness,
    /// We told the peer that its authentication failed.
    Failure(DownReason),
}

impl Exchange {
    pub(crate) fn ty(&self) -> ExchangeType {
        match self {
            Exchange::Init(_) => ExchangeType::IkeSaInit,
            Exchange::Auth(_) => ExchangeType::IkeAuth,
            Exchange::CreateChild(_) | Exchange::RekeyChild(_) | Exchange::RekeyIke(_) => ExchangeType::CreateChildSa,
            Exchange::DeleteChildren(_) | Exchange::DeleteIke(_) | Exchange::Liveness | Exchange::Failure(_) => {
                ExchangeType::Informational
            }
        }
    }

    /// What an operator calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Exchange::Init(_) => "IKE_SA_INIT",
            Exchange::Auth(_) => "IKE_AUTH",
            Exchange::CreateChild(_) => "CREATE_CHILD_SA",
            Exchange::RekeyChild(_) => "CREATE_CHILD_SA (child rekey)",
            Exchange::RekeyIke(_) => "CREATE_CHILD_SA (IKE rekey)",
            Exchange::DeleteChildren(_) => "INFORMATIONAL (delete child)",
            Exchange::DeleteIke(_) => "INFORMATIONAL (delete)",
            Exchange::Liveness => "liveness check",
            Exchange::Failure(_) => "INFORMATIONAL (authentication failed)",
        }
    }
}

/// A response, and whether the SA ends with it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) payloads: Vec<Payload>,
    pub(crate) close: Option<DownReason>,
}

impl Reply {
    pub(crate) fn with(payloads: Vec<Payload>) -> Reply {
        Reply { payloads, close: None }
    }

    pub(crate) fn empty() -> Reply {
        Reply::with(Vec::new())
    }

    pub(crate) fn only(notify: Notify) -> Reply {
        Reply::with(vec![Payload::Notify(notify)])
    }

    pub(crate) fn notify(ty: NotifyType) -> Reply {
        Reply::only(Notify::new(ty))
    }

    pub(crate) fn fatal(ty: NotifyType, reason: DownReason) -> Reply {
        Reply { payloads: vec![Payload::Notify(Notify::new(ty))], close: Some(reason) }
    }
}
