//! Notifications and deletes (RFC 7296 §3.10, §3.11).

use std::borrow::Cow;
use std::fmt;

use ipsec::Spi;

use super::{Cursor, ProtocolId, WireError, length16};

/// Notify Message Type: errors below 16384, status above (RFC 7296 §3.10.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotifyType(pub u16);

macro_rules! notify_types {
    ($($name:ident = $value:literal, $rfc:literal;)+) => {
        impl NotifyType {
            $(#[doc = concat!("`", stringify!($name), "`, ", stringify!($value), " (", $rfc, ").")]
            pub const $name: NotifyType = NotifyType($value);)+

            /// The registered name; of others, the number.
            #[must_use]
            pub fn name(self) -> Cow<'static, str> {
                match self.0 {
                    $($value => Cow::Borrowed(stringify!($name)),)+
                    other => Cow::Owned(format!("notify {other}")),
                }
            }
        }
    };
}

notify_types! {
    UNSUPPORTED_CRITICAL_PAYLOAD = 1, "RFC 7296";
    INVALID_IKE_SPI = 4, "RFC 7296";
    INVALID_MAJOR_VERSION = 5, "RFC 7296";
    INVALID_SYNTAX = 7, "RFC 7296";
    INVALID_MESSAGE_ID = 9, "RFC 7296";
    INVALID_SPI = 11, "RFC 7296";
    NO_PROPOSAL_CHOSEN = 14, "RFC 7296";
    INVALID_KE_PAYLOAD = 17, "RFC 7296";
    AUTHENTICATION_FAILED = 24, "RFC 7296";
    SINGLE_PAIR_REQUIRED = 34, "RFC 7296";
    NO_ADDITIONAL_SAS = 35, "RFC 7296";
    INTERNAL_ADDRESS_FAILURE = 36, "RFC 7296";
    FAILED_CP_REQUIRED = 37, "RFC 7296";
    TS_UNACCEPTABLE = 38, "RFC 7296";
    INVALID_SELECTORS = 39, "RFC 7296";
    UNACCEPTABLE_ADDRESSES = 40, "RFC 4555";
    UNEXPECTED_NAT_DETECTED = 41, "RFC 4555";
    TEMPORARY_FAILURE = 43, "RFC 7296";
    CHILD_SA_NOT_FOUND = 44, "RFC 7296";
    STATE_NOT_FOUND = 47, "RFC 9370";
    INITIAL_CONTACT = 16384, "RFC 7296";
    SET_WINDOW_SIZE = 16385, "RFC 7296";
    ADDITIONAL_TS_POSSIBLE = 16386, "RFC 7296";
    IPCOMP_SUPPORTED = 16387, "RFC 7296";
    NAT_DETECTION_SOURCE_IP = 16388, "RFC 7296";
    NAT_DETECTION_DESTINATION_IP = 16389, "RFC 7296";
    COOKIE = 16390, "RFC 7296";
    USE_TRANSPORT_MODE = 16391, "RFC 7296";
    HTTP_CERT_LOOKUP_SUPPORTED = 16392, "RFC 7296";
    REKEY_SA = 16393, "RFC 7296";
    ESP_TFC_PADDING_NOT_SUPPORTED = 16394, "RFC 7296";
    NON_FIRST_FRAGMENTS_ALSO = 16395, "RFC 7296";
    MOBIKE_SUPPORTED = 16396, "RFC 4555";
    ADDITIONAL_IP4_ADDRESS = 16397, "RFC 4555";
    ADDITIONAL_IP6_ADDRESS = 16398, "RFC 4555";
    NO_ADDITIONAL_ADDRESSES = 16399, "RFC 4555";
    UPDATE_SA_ADDRESSES = 16400, "RFC 4555";
    COOKIE2 = 16401, "RFC 4555";
    NO_NATS_ALLOWED = 16402, "RFC 4555";
    AUTH_LIFETIME = 16403, "RFC 4478";
    MULTIPLE_AUTH_SUPPORTED = 16404, "RFC 4739";
    ANOTHER_AUTH_FOLLOWS = 16405, "RFC 4739";
    REDIRECT_SUPPORTED = 16406, "RFC 5685";
    REDIRECT = 16407, "RFC 5685";
    REDIRECTED_FROM = 16408, "RFC 5685";
    TICKET_LT_OPAQUE = 16409, "RFC 5723";
    TICKET_REQUEST = 16410, "RFC 5723";
    TICKET_ACK = 16411, "RFC 5723";
    TICKET_NACK = 16412, "RFC 5723";
    TICKET_OPAQUE = 16413, "RFC 5723";
    USE_WESP_MODE = 16415, "RFC 5840";
    ROHC_SUPPORTED = 16416, "RFC 5857";
    EAP_ONLY_AUTHENTICATION = 16417, "RFC 5998";
    CHILDLESS_IKEV2_SUPPORTED = 16418, "RFC 6023";
    QUICK_CRASH_DETECTION = 16419, "RFC 6290";
    IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420, "RFC 6311";
    IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED = 16421, "RFC 6311";
    IKEV2_MESSAGE_ID_SYNC = 16422, "RFC 6311";
    IPSEC_REPLAY_COUNTER_SYNC = 16423, "RFC 6311";
    FRAGMENTATION_SUPPORTED = 16430, "RFC 7383";
    SIGNATURE_HASH_ALGORITHMS = 16431, "RFC 7427";
    CLONE_IKE_SA_SUPPORTED = 16432, "RFC 7791";
    CLONE_IKE_SA = 16433, "RFC 7791";
    PUZZLE = 16434, "RFC 8019";
    USE_PPK = 16435, "RFC 8784";
    PPK_IDENTITY = 16436, "RFC 8784";
    NO_PPK_AUTH = 16437, "RFC 8784";
    INTERMEDIATE_EXCHANGE_SUPPORTED = 16438, "RFC 9242";
    ADDITIONAL_KEY_EXCHANGE = 16441, "RFC 9370";
    USE_AGGFRAG = 16442, "RFC 9347";
    SUPPORTED_AUTH_METHODS = 16443, "RFC 9593";
    SA_RESOURCE_INFO = 16444, "RFC 9611";
}

impl NotifyType {
    /// Whether this reports a failure: the values below 16384. In a response an unknown one means that the request
    /// failed; unknown status types are ignored (RFC 7296 §3.10.1).
    #[must_use]
    pub fn is_error(self) -> bool {
        self.0 < 16384
    }
}

impl fmt::Display for NotifyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for NotifyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotifyType({self})")
    }
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// What the SPI belongs to; [`ProtocolId::None`] without an SPI.
    pub protocol: ProtocolId,
    /// Empty, or the SPI this is about. At most 255 octets.
    pub spi: Vec<u8>,
    /// What is said.
    pub ty: NotifyType,
    /// What goes with it, by type.
    pub data: Vec<u8>,
}

impl Notify {
    /// A notification about the IKE SA or the whole message, without data.
    #[must_use]
    pub fn new(ty: NotifyType) -> Self {
        Notify { protocol: ProtocolId::None, spi: Vec::new(), ty, data: Vec::new() }
    }

    /// A notification about the IKE SA or the whole message, with data.
    #[must_use]
    pub fn with_data(ty: NotifyType, data: impl Into<Vec<u8>>) -> Self {
        Notify { data: data.into(), ..Notify::new(ty) }
    }

    /// A notification about a child: REKEY_SA with the sender's inbound SPI, CHILD_SA_NOT_FOUND with the one asked for.
    #[must_use]
    pub fn for_child(ty: NotifyType, spi: Spi) -> Self {
        Notify { protocol: ProtocolId::Esp, spi: spi.to_be_bytes().to_vec(), ..Notify::new(ty) }
    }

    /// The ESP SA this is about; nothing if the protocol or the SPI's size or value is another (RFC 7296 §2.8).
    #[must_use]
    pub fn child_spi(&self) -> Option<Spi> {
        let spi: [u8; 4] = self.spi.as_slice().try_into().ok()?;
        (self.protocol == ProtocolId::Esp).then(|| Spi::new(u32::from_be_bytes(spi))).flatten()
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(body, "Notify payload");
        let protocol = ProtocolId::from_u8(cursor.u8()?);
        let spi_size = cursor.u8()?;
        let ty = NotifyType(cursor.u16()?);
        let spi = cursor.take(usize::from(spi_size))?.to_vec();
        Ok(Notify { protocol, spi, ty, data: cursor.remaining().to_vec() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let spi = self.spi.get(..255).unwrap_or(&self.spi);
        out.extend_from_slice(&[self.protocol.to_u8(), u8::try_from(spi.len()).unwrap_or(u8::MAX)]);
        out.extend_from_slice(&self.ty.0.to_be_bytes());
        out.extend_from_slice(spi);
        out.extend_from_slice(&self.data);
    }
}

/// A delete: this IKE SA, or children by the *sender's* inbound SPIs (RFC 7296 §1.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delete {
    /// The IKE SA which carries the message.
    Ike,
    /// Child SAs.
    Child {
        /// ESP or AH.
        protocol: ProtocolId,
        /// The sender's inbound SPIs, unchecked: unknown and reserved values are simply not found.
        spis: Vec<u32>,
    },
}

impl Delete {
    /// The deletion of ESP SAs by our inbound SPIs.
    #[must_use]
    pub fn esp(spis: impl IntoIterator<Item = Spi>) -> Self {
        Delete::Child { protocol: ProtocolId::Esp, spis: spis.into_iter().map(Spi::get).collect() }
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(body, "Delete payload");
        let protocol = ProtocolId::from_u8(cursor.u8()?);
        let spi_size = cursor.u8()?;
        let count = cursor.u16()?;
        let delete = match (protocol, spi_size, count) {
            (ProtocolId::Ike, 0, 0) => Delete::Ike,
            (ProtocolId::Ike, _, _) => {
                return Err(cursor.malformed("SPIs in the deletion of an IKE SA"));
            }
            (ProtocolId::Esp | ProtocolId::Ah, 4, count) => {
                let mut spis = Vec::with_capacity(usize::from(count).min(64));
                for _ in 0..count {
                    spis.push(cursor.u32()?);
                }
                Delete::Child { protocol, spis }
            }
            (ProtocolId::Esp | ProtocolId::Ah, _, _) => {
                return Err(cursor.malformed("a child's SPI is not 4 octets"));
            }
            (ProtocolId::None | ProtocolId::Unknown(_), _, _) => {
                return Err(cursor.malformed("an unknown protocol"));
            }
        };
        cursor.finish()?;
        Ok(delete)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Delete::Ike => out.extend_from_slice(&[ProtocolId::Ike.to_u8(), 0, 0, 0]),
            Delete::Child { protocol, spis } => {
                // 16,000 SPIs fill a payload.
                let spis = spis.get(..16_000).unwrap_or(spis);
                out.extend_from_slice(&[protocol.to_u8(), 4]);
                out.extend_from_slice(&length16(spis.len()).to_be_bytes());
                for spi in spis {
                    out.extend_from_slice(&spi.to_be_bytes());
                }
            }
        }
    }
}
