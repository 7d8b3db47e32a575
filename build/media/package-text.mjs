// What the packages say of themselves and do when they come and go: the same for dpkg and rpm.

const SUMMARY = {
  send: "plant side of a one-way MQTT link across a data diode",
  recv: "business side of a one-way MQTT link across a data diode",
};
const DESCRIPTION = {
  send: "Takes MQTT from brokers of a plant, keeps it in a durable journal, and writes it to a one-way link.",
  recv: "Reads a one-way link, orders and keeps what comes, and publishes it to brokers and clouds.",
};

/** Makes user and directories. Never starts the agent: it has no configuration yet. */
function configure(agent) {
  const user = `tidegate-${agent}`;
  const targets =
    agent === "recv"
      ? "mkdir -p /etc/tidegate/targets.d\n  chmod 750 /etc/tidegate/targets.d\n  chown root:tidegate /etc/tidegate/targets.d\n  "
      : "";
  return `configure() {
  getent group tidegate >/dev/null || groupadd --system tidegate
  getent passwd ${user} >/dev/null ||
    useradd --system --gid tidegate --home-dir /var/lib/tidegate/${agent} --no-create-home --shell /usr/sbin/nologin ${user}
  mkdir -p /etc/tidegate /var/lib/tidegate/${agent}
  chmod 750 /etc/tidegate && chown root:tidegate /etc/tidegate
  chmod 700 /var/lib/tidegate/${agent} && chown ${user}:tidegate /var/lib/tidegate/${agent}
  chmod 640 /etc/tidegate/${agent}.toml && chown root:tidegate /etc/tidegate/${agent}.toml
  ${targets}if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart ${user}.service || echo "${user} did not start with the new program: journalctl -u ${user}" >&2
  fi
}
`;
}

function stop(agent) {
  return `if [ -d /run/systemd/system ]; then systemctl disable --now tidegate-${agent}.service || true; fi\n`;
}

/** The files of DEBIAN/, by name. */
export function describeDeb(agent, stamp, architecture, bytes) {
  const shebang = "#!/bin/sh\nset -e\n";
  return {
    control: `Package: tidegate-${agent}
Version: ${stamp.STAMPED_VERSION}
Section: net
Priority: optional
Architecture: ${architecture}
Depends: libc6 (>= 2.17), passwd
Suggests: iproute2
Maintainer: Tidegate <tidegate@localhost>
Installed-Size: ${Math.ceil(bytes / 1024)}
Description: ${SUMMARY[agent]}
 ${DESCRIPTION[agent]}
`,
    conffiles: `/etc/tidegate/${agent}.toml\n`,
    postinst: `${shebang}${configure(agent)}[ "$1" != configure ] || configure\n`,
    prerm: `${shebang}if [ "$1" = remove ]; then ${stop(agent)}fi\n`,
    postrm: `${shebang}if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
  rm -rf /var/lib/tidegate/${agent}
  rmdir /var/lib/tidegate /etc/tidegate/targets.d /etc/tidegate 2>/dev/null || true
  userdel tidegate-${agent} 2>/dev/null || true
  getent passwd tidegate-send tidegate-recv >/dev/null || groupdel tidegate 2>/dev/null || true
fi
`,
  };
}

/** The text of a .spec that packs what lies in `root`. */
export function describeRpm(agent, stamp, files, root) {
  // A dash parts version and release in rpm.
  const version = stamp.STAMPED_VERSION.replaceAll("-", "~");
  const isConfig = (path) => path.startsWith("/etc/");
  const lines = files.map((path) => {
    const mode = path.startsWith("/usr/bin/") || path.endsWith("/set-neighbours") ? "0755" : "0644";
    return `${isConfig(path) ? "%config(noreplace) " : ""}%attr(${mode}, root, root) "${path}"`;
  });
  return `Name: tidegate-${agent}
Version: ${version}
Release: 1
Summary: ${SUMMARY[agent]}
License: Apache-2.0
Group: System Environment/Daemons
AutoReqProv: no
Requires: glibc >= 2.17, shadow-utils
%description
${DESCRIPTION[agent]}
%install
mkdir -p "%{buildroot}"
cp -a "${root}/." "%{buildroot}/"
%post
${configure(agent)}configure
%preun
if [ $1 -eq 0 ]; then ${stop(agent)}fi
%postun
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
%files
${lines.join("\n")}
`;
}
