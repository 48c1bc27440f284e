//! Two gateways in virtual time: configurations, the packet path, hosts behind them, checks.

pub mod config;
pub mod gateway;
pub mod packets;
pub mod pair;

pub use config::*;
pub use gateway::*;
pub use packets::*;
pub use pair::*;
