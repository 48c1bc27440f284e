//! Configuration files: texts in, checked values or diagnostics with places out. Reads no file itself.
//!
//! [`underpass_toml`] is the product's own format, [`import`] reads what others have, [`export`] says one connection in the
//! words of the device at its other end; [`diagnostic`] says what is wrong in any of them. [`vici`] is how other programs'
//! clients ask a gateway.

pub mod diagnostic;
pub mod encoding;
pub mod export;
pub mod import;
mod nearest;
mod rfc3339;
mod source;
pub mod underpass_toml;
pub mod vici;

pub use diagnostic::{Diagnostic, Severity};
pub use nearest::nearest;
pub use rfc3339::{parse_rfc3339, rfc3339};
pub use source::SourceFile;
