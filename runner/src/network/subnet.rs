//! Ranges of addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A range of addresses, or an address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Subnet {
    /// Its first address, or one in it.
    pub(crate) address: IpAddr,
    /// Bits that all its addresses share.
    pub(crate) prefix: u8,
}

impl Subnet {
    fn bits(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        }
    }

    fn host_mask(self) -> u128 {
        let (_, width) = Self::bits(self.address);
        let hosts = width.saturating_sub(u32::from(self.prefix));
        u128::MAX.checked_shr(128 - hosts).unwrap_or(0)
    }

    fn with(self, bits: u128) -> IpAddr {
        match self.address {
            // The upper bits are those of a 32 bit address, so nothing is cut off.
            IpAddr::V4(_) => {
                Ipv4Addr::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or_default()).into()
            }
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        }
    }

    /// The range that this address lies in.
    pub(crate) fn network(self) -> Self {
        let (bits, _) = Self::bits(self.address);
        Self { address: self.with(bits & !self.host_mask()), prefix: self.prefix }
    }

    /// How many addresses, or the largest number.
    pub(crate) fn size(self) -> u128 {
        self.host_mask().saturating_add(1)
    }

    /// Its address number `n`.
    pub(crate) fn nth(self, n: u128) -> Option<IpAddr> {
        let (first, _) = Self::bits(self.network().address);
        (n <= self.host_mask()).then(|| self.with(first + n))
    }

    /// Its last address.
    pub(crate) fn last(self) -> Option<IpAddr> {
        self.nth(self.host_mask())
    }

    /// Whether an address lies in it.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self { address, prefix: self.prefix }.network() == self.network()
    }

    /// Whether they share addresses.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.contains(other.network().address) || other.contains(self.network().address)
    }

    /// Whether an interface can have this address: neither the range's own nor the one for all.
    pub(crate) fn usable(self, address: IpAddr) -> bool {
        let ends = address == self.network().address || Some(address) == self.last() && address.is_ipv4();
        self.contains(address) && !ends
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no range of addresses: one is written like 10.90.0.0/24 or fd00:90::/64");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_knows_what_lies_in_it() {
        let range = subnet("10.90.3.7/24");
        assert_eq!(range.network(), subnet("10.90.3.0/24"));
        assert_eq!(range.size(), 256);
        assert_eq!(range.nth(1), Some("10.90.3.1".parse().unwrap()));
        assert_eq!(range.nth(256), None);
        assert_eq!(range.last(), Some("10.90.3.255".parse().unwrap()));
        assert!(!range.usable("10.90.3.0".parse().unwrap()));
        assert!(!range.usable("10.90.3.255".parse().unwrap()));
        assert!(range.usable("10.90.3.254".parse().unwrap()));
        assert!(range.overlaps(subnet("10.0.0.0/8")) && subnet("10.0.0.0/8").overlaps(range));
        assert!(!range.overlaps(subnet("10.90.4.0/24")));
        assert!(!range.overlaps(subnet("::/0")));
        assert!(subnet("0.0.0.0/0").contains("255.1.2.3".parse().unwrap()));
    }

    #[test]
    fn what_is_no_range_is_refused_with_an_example() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "ten/8"] {
            assert!(text.parse::<Subnet>().unwrap_err().contains("10.90.0.0/24"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_of_a_range_lies_in_it(bits: u128, prefix in 0_u8..=128, n: u128) {
            let range = Subnet { address: Ipv6Addr::from_bits(bits).into(), prefix };
            if let Some(address) = range.nth(n) {
                prop_assert!(range.contains(address));
            }
            prop_assert!(range.contains(range.last().unwrap()));
            prop_assert_eq!(range.to_string().parse::<Subnet>().unwrap(), range);
        }
    }
}
