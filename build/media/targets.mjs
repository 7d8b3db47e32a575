// What the media carries programs for, and where the runtime of each comes from. The packages of the runtime are those that
// package-lock.json pins with their hashes; the one that it lacks is pinned here.

/**
 * `runtime` is the npm package of the runtime; `wheel` brings the C++ library, which hosts with musl often lack and the runtime needs.
 * `deb` and `rpm` are the names of the architecture in packages, for the targets that packages are made of.
 */
export const TARGETS = {
  "linux-x64": { runtime: "bun-linux-x64", machine: "x86_64" },
  "linux-x64-baseline": {
    runtime: "bun-linux-x64-baseline",
    integrity:
      "sha512-s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA==",
    machine: "x86_64",
    // A package cannot choose by processor: it holds what runs on all of them.
    deb: "amd64",
    rpm: "x86_64",
  },
  "linux-x64-musl": {
    runtime: "bun-linux-x64-musl",
    machine: "x86_64",
    wheel: {
      platform: "musllinux_1_2_x86_64",
      sha256: "322ab1c99b008dad206d406bb61d014cf0174df491ae9d9d0fac6a6fda4f977f",
    },
  },
  "linux-arm64": { runtime: "bun-linux-aarch64", machine: "aarch64", deb: "arm64", rpm: "aarch64" },
  "linux-arm64-musl": {
    runtime: "bun-linux-aarch64-musl",
    machine: "aarch64",
    wheel: {
      platform: "musllinux_1_2_aarch64",
      sha256: "598c3aaece21c503615fd59c92a3598b428b2f01bfb4b8ca9c4edeecc2438620",
    },
  },
};

/** The Python package whose wheels for musl carry GCC's libstdc++ and libgcc_s, as Alpine Linux builds them. */
export const WHEEL = { name: "contourpy", version: "1.3.3", python: "311" };
/** What the libraries in these wheels are, for the licences and the bill of materials. */
export const GCC = { version: "14.2.0", licence: "GPL-3.0-or-later WITH GCC-exception-3.1" };
