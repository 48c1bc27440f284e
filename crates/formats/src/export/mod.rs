//! One connection in the words of the device at its other end.
//!
//! ```text
//! Loaded ─ model::Export::of ─► Export ─ sheet::fill (device's words, refusals) ─► Sheet ─ template ─► text ─► keys
//! ```
//!
//! What both ends must agree on and the device cannot say is a refusal with the nearest it can; what an end decides alone
//! is a note in the file. Nothing is put in the place of something else.

mod aws;
mod choose;
mod cisco;
mod compact;
mod device;
mod model;
mod net;
mod refusal;
mod render;
mod sheet;
mod swan;
mod terraform;
mod vendors;
mod vyos;

pub use model::{End, Export, Host, Side, Tunnel, esp_suites, ike_suites};
pub use refusal::Refusal;

use device::Device;
use zeroize::Zeroizing;

/// The devices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// strongSwan's `ipsec.conf`.
    Strongswan,
    /// Libreswan's `ipsec.conf`.
    Libreswan,
    /// Openswan's `ipsec.conf`.
    Openswan,
    /// VyOS `set` commands.
    Vyos,
    /// Text for any device.
    Generic,
    /// The managed service's `CustomerGatewayConfiguration`.
    AwsXml,
    /// Terraform for the managed service.
    Terraform,
    /// Cisco IOS XE.
    CiscoIos,
    /// Cisco ASA.
    CiscoAsa,
    /// Junos on SRX.
    JuniperSrx,
    /// FortiOS.
    Fortinet,
    /// PAN-OS.
    PaloAlto,
    /// Steps in pfSense's web interface.
    Pfsense,
    /// MikroTik RouterOS.
    Mikrotik,
}

impl Target {
    /// Every device.
    pub const ALL: [Target; 14] = [
        Target::Strongswan,
        Target::Libreswan,
        Target::Openswan,
        Target::Vyos,
        Target::Generic,
        Target::AwsXml,
        Target::Terraform,
        Target::CiscoIos,
        Target::CiscoAsa,
        Target::JuniperSrx,
        Target::Fortinet,
        Target::PaloAlto,
        Target::Pfsense,
        Target::Mikrotik,
    ];

    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Target::Strongswan => "strongswan",
            Target::Libreswan => "libreswan",
            Target::Openswan => "openswan",
            Target::Vyos => "vyos",
            Target::Generic => "generic",
            Target::AwsXml => "aws-xml",
            Target::Terraform => "terraform",
            Target::CiscoIos => "cisco-ios",
            Target::CiscoAsa => "cisco-asa",
            Target::JuniperSrx => "juniper-srx",
            Target::Fortinet => "fortinet",
            Target::PaloAlto => "palo-alto",
            Target::Pfsense => "pfsense",
            Target::Mikrotik => "mikrotik",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        self.device().title
    }

    fn device(self) -> &'static Device {
        match self {
            Target::Strongswan => &swan::STRONGSWAN,
            Target::Libreswan => &swan::LIBRESWAN,
            Target::Openswan => &swan::OPENSWAN,
            Target::Vyos => &vyos::VYOS,
            Target::Generic => &aws::GENERIC,
            Target::AwsXml => &aws::AWS_XML,
            Target::Terraform => &terraform::TERRAFORM,
            Target::CiscoIos => &cisco::IOS,
            Target::CiscoAsa => &cisco::ASA,
            Target::JuniperSrx => &vendors::JUNIPER,
            Target::Fortinet => &vendors::FORTINET,
            Target::PaloAlto => &vendors::PALO_ALTO,
            Target::Pfsense => &vendors::PFSENSE,
            Target::Mikrotik => &vendors::MIKROTIK,
        }
    }
}

/// Whether keys stand in what is rendered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// `<pre-shared key of NAME>` stands in their place.
    Hidden,
    /// They do: whoever reads it has the tunnel.
    Shown,
}

/// A connection for a device. With [`Keys::Shown`] a secret.
pub struct Document {
    /// The configuration.
    pub text: Zeroizing<String>,
    /// A second file that holds the keys, where the device has one: what comes after the dot of its name, and the text.
    pub secrets: Option<Zeroizing<String>>,
    /// What the device is not told, and why that is no harm.
    pub notes: Vec<String>,
}

/// Writes a connection for a device.
///
/// # Errors
/// Everything the device cannot say.
pub fn export(export: &Export, target: Target, keys: Keys) -> Result<Document, Vec<Refusal>> {
    let device = target.device();
    let sheet = sheet::fill(export, device)?;
    let shown = keys == Keys::Shown;
    let fill = |template: &str| -> Result<Zeroizing<String>, Vec<Refusal>> {
        let text = render::fill(template, &sheet).map_err(|error| {
            vec![Refusal {
                place: export.name.clone(),
                option: "template",
                value: error,
                device: device.title,
                nearest: "this is a mistake in Underpass: please report it".to_owned(),
            }]
        })?;
        Ok(render::with_keys(&text, export, device, shown))
    };
    let text = fill(device.template)?;
    let secrets = device.secrets.map(fill).transpose()?;
    Ok(Document { text, secrets, notes: sheet.notes })
}
