//! Which system this is, as far as installing drivers depends on it.

use std::collections::BTreeMap;

/// The families of Linux distributions whose package names are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Debian, Ubuntu and what derives from them: the only family that packages are installed on.
    Debian,
    /// Fedora, RHEL and what derives from them.
    Fedora,
    /// Arch and what derives from it.
    Arch,
    /// SUSE and openSUSE.
    Suse,
    /// Alpine.
    Alpine,
    /// Anything else.
    Unknown,
}

/// Mesa's software drivers for Vulkan and OpenGL ES, and their loaders, on Debian and Ubuntu.
pub(crate) const DEBIAN_PACKAGES: [&str; 5] =
    ["mesa-vulkan-drivers", "libvulkan1", "libegl1", "libgl1-mesa-dri", "libegl-mesa0"];

impl Distribution {
    /// The distribution that `/etc/os-release` describes.
    pub(crate) fn detect() -> Distribution {
        let text = std::fs::read_to_string("/etc/os-release")
            .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
            .unwrap_or_default();
        Distribution::from_os_release(&text)
    }

    /// Reads `ID`, then the names in `ID_LIKE`: a derivative installs what its parent does.
    fn from_os_release(text: &str) -> Distribution {
        let fields = parse_os_release(text);
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let names = std::iter::once(field("ID")).chain(field("ID_LIKE").split_whitespace());
        for name in names {
            let known = match name {
                "debian" | "ubuntu" => Distribution::Debian,
                "fedora" | "rhel" | "centos" => Distribution::Fedora,
                "arch" | "archlinux" => Distribution::Arch,
                "suse" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => Distribution::Suse,
                "alpine" => Distribution::Alpine,
                _ => continue,
            };
            return known;
        }
        Distribution::Unknown
    }

    /// The command by which a person installs software drivers for Vulkan and OpenGL ES.
    pub(crate) fn install_command(self) -> String {
        match self {
            Distribution::Debian => {
                format!("apt-get install --no-install-recommends {}", DEBIAN_PACKAGES.join(" "))
            }
            Distribution::Fedora => "dnf install mesa-vulkan-drivers vulkan-loader mesa-libEGL mesa-dri-drivers".into(),
            Distribution::Arch => "pacman -S vulkan-swrast vulkan-icd-loader mesa".into(),
            Distribution::Suse => "zypper install libvulkan_lvp libvulkan1 Mesa-libEGL1 Mesa-dri".into(),
            Distribution::Alpine => "apk add mesa-vulkan-swrast vulkan-loader mesa-egl mesa-dri-gallium".into(),
            Distribution::Unknown => {
                "your package manager: Mesa's Vulkan drivers (lavapipe) and the Vulkan loader".into()
            }
        }
    }
}

/// The assignments of an `os-release` file; values may stand in single or double quotes.
fn parse_os_release(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let value =
            ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
        fields.insert(name.to_owned(), value.to_owned());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_derivatives() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(Distribution::from_os_release(debian), Distribution::Debian);
        let ubuntu = "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n";
        assert_eq!(Distribution::from_os_release(ubuntu), Distribution::Debian);
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        assert_eq!(Distribution::from_os_release(mint), Distribution::Debian);
    }

    #[test]
    fn others_are_not_taken_for_debian() {
        let cases = [
            ("ID=fedora\n", Distribution::Fedora),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Distribution::Fedora),
            ("ID=manjaro\nID_LIKE=arch\n", Distribution::Arch),
            ("ID='opensuse-leap'\nID_LIKE='suse opensuse'\n", Distribution::Suse),
            ("ID=alpine\n", Distribution::Alpine),
            ("ID=nixos\n", Distribution::Unknown),
            ("# ID=debian\nNAME=debian\n", Distribution::Unknown),
            ("", Distribution::Unknown),
        ];
        for (text, expected) in cases {
            assert_eq!(Distribution::from_os_release(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_family_has_a_command() {
        assert!(Distribution::Debian.install_command().contains("mesa-vulkan-drivers libvulkan1"));
        assert!(Distribution::Fedora.install_command().starts_with("dnf "));
        assert!(Distribution::Unknown.install_command().contains("Vulkan"));
    }
}
