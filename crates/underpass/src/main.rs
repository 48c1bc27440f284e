//! The underpass binary: one subcommand per file under `commands`, thin over the crates that do the work.

mod client;
mod commands;
mod demo;
mod duration;
mod exit;
mod files;
mod foreign;
mod key_tables;
mod normal;
mod sequence;
mod table;
mod tunnels;

use clap::{Parser, Subcommand};
use exit::{Exit, Failure};
use std::io::Write;
use std::process::ExitCode;

/// Site-to-site VPN: IPsec gateway, demo and diagnosis in one binary.
#[derive(Parser)]
#[command(name = "underpass", version, after_help = exit::HELP, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::Args),
    Gateway(commands::gateway::Args),
    Import(commands::import::Args),
    Export(commands::export::Args),
    Status(commands::status::Args),
    Up(commands::up::Args),
    Down(commands::down::Args),
    Metrics(commands::metrics::Args),
    Trace(commands::trace::Args),
    Rekey(commands::rekey::Args),
    Wait(commands::wait::Args),
    Log(commands::log::Args),
    Reload(commands::reload::Args),
    Capture(commands::capture::Args),
    Doctor(commands::doctor::Args),
    Explain(commands::explain::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

impl Command {
    fn json(&self) -> bool {
        match self {
            Command::Demo(args) => args.json,
            Command::Gateway(args) => args.json,
            Command::Import(args) => args.json,
            Command::Export(args) => args.json,
            Command::Status(args) => args.control.json,
            Command::Up(args) => args.control.json,
            Command::Down(args) => args.control.json,
            Command::Metrics(args) => args.control.json,
            Command::Trace(args) => args.control.json,
            Command::Rekey(args) => args.control.json,
            Command::Wait(args) => args.control.json,
            Command::Log(args) => args.control.json,
            Command::Reload(args) => args.control.json,
            Command::Capture(args) => args.control.json,
            Command::Doctor(args) => args.json,
            Command::Explain(args) => args.json,
            Command::Completions(_) | Command::Man(_) => false,
        }
    }

    fn run(&self, out: &mut dyn Write) -> Result<Exit, Failure> {
        match self {
            Command::Demo(args) => commands::demo::run(args, out),
            Command::Gateway(args) => commands::gateway::run(args, out),
            Command::Import(args) => commands::import::run(args, out),
            Command::Export(args) => commands::export::run(args, out),
            Command::Status(args) => commands::status::run(args, out),
            Command::Up(args) => commands::up::run(args, out),
            Command::Down(args) => commands::down::run(args, out),
            Command::Metrics(args) => commands::metrics::run(args, out),
            Command::Trace(args) => commands::trace::run(args, out),
            Command::Rekey(args) => commands::rekey::run(args, out),
            Command::Wait(args) => commands::wait::run(args, out),
            Command::Log(args) => commands::log::run(args, out),
            Command::Reload(args) => commands::reload::run(args, out),
            Command::Capture(args) => commands::capture::run(args, out),
            Command::Doctor(args) => commands::doctor::run(args, out),
            Command::Explain(args) => commands::explain::run(args, out),
            Command::Completions(args) => commands::completions::run(args, out),
            Command::Man(args) => commands::man::run(args, out),
        }
    }
}

fn main() -> ExitCode {
    if let Some(words) = commands::ipsec::called() {
        return commands::ipsec::run(&words);
    }
    let command = Cli::parse().command;
    let mut out = std::io::stdout().lock();
    let failure = match command.run(&mut out).and_then(|exit| out.flush().map(|()| exit).map_err(Failure::from)) {
        Ok(exit) => return exit.into(),
        Err(failure) => failure,
    };
    // A reader of ours that has gone wants to hear nothing; a message that cannot be written has nobody to go to.
    if failure.exit != Exit::Ok {
        if command.json() {
            let _ = writeln!(out, "{}", failure.json());
        } else {
            let hint = failure.hint.iter().map(|hint| format!("\n  help: {hint}")).collect::<String>();
            let _ = writeln!(std::io::stderr(), "error: {}{hint}", failure.message);
        }
    }
    failure.exit.into()
}
