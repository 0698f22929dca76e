import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { description } from '../../package.json'
import { runCommand } from '../lib/command.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { defaultsPath, type PackageOptions, writePackageTree } from './package-tree.ts'
import type { Platform } from './platform.ts'

/** Builds the Debian package of a platform, and returns its path. */
export async function buildDeb(platform: Platform, options: PackageOptions): Promise<string> {
  const { version, seconds, folder } = options
  await using tree = await temporaryFolder('deb')
  await writePackageTree(tree.path, platform, options)
  const size = (await runCommand(['du', '--summarize', '--block-size=1K', tree.path])).split('\t')[0] ?? ''
  const control = join(tree.path, 'DEBIAN')
  const files = {
    control: `Package: cay
Version: ${version}
Architecture: ${platform.architecture}
Maintainer: cay <cay@cay.invalid>
Section: net
Priority: optional
Depends: libc6 (>= 2.17)
Installed-Size: ${size}
Description: ${description}
 cay stores images, charts and any other OCI content, private by default, and
 caches images of other registries.
`,
    conffiles: `${defaultsPath}\n`,
    postinst: installed,
    prerm: beforeRemoval,
    postrm: removed,
  }
  await mkdir(control)
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(control, name), text, { mode: name.startsWith('p') ? 0o755 : 0o644 })
  }
  const path = join(folder, `cay_${version}_${platform.architecture}.deb`)
  await mkdir(folder, { recursive: true })
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(seconds) }
  await runCommand(['dpkg-deb', '--build', '--root-owner-group', '-Zgzip', '-z6', tree.path, path], { env })
  return path
}

/** What debhelper writes for a unit: enable it once, start it, and restart it after an upgrade. */
const installed = `#!/bin/sh
set -e
if [ "$1" = configure ] || [ "$1" = abort-upgrade ]; then
  deb-systemd-helper unmask cay.service >/dev/null || true
  if deb-systemd-helper --quiet was-enabled cay.service; then
    deb-systemd-helper enable cay.service >/dev/null || true
  else
    deb-systemd-helper update-state cay.service >/dev/null || true
  fi
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    if [ -n "$2" ]; then action=restart; else action=start; fi
    deb-systemd-invoke $action cay.service >/dev/null || true
  fi
fi
`

const beforeRemoval = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop cay.service >/dev/null || true
fi
`

/** The data is the user's: a purge removes the configuration only, and says where the data is. */
const removed = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = remove ]; then
  deb-systemd-helper mask cay.service >/dev/null || true
fi
if [ "$1" = purge ]; then
  deb-systemd-helper purge cay.service >/dev/null || true
  deb-systemd-helper unmask cay.service >/dev/null || true
  if [ -e /var/lib/cay ]; then
    echo "cay: the registry's data is kept in /var/lib/cay; to delete it: rm -rf /var/lib/private/cay /var/lib/cay"
  fi
fi
`
