import { chmod, copyFile, mkdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { description, license } from '../../package.json'
import { systemdUnit } from '../../src/service/unit.ts'
import { build } from '../build.ts'
import { runCommand } from '../lib/command.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { licenseText } from './components.ts'
import { manPage } from './man-page.ts'
import { type Platform, releaseFolder, sourceSeconds } from './platform.ts'

/** The configuration file that packages keep. */
const defaultsPath = '/etc/default/cay'

/** Where packages have completions, by shell. */
const completions = {
  bash: 'usr/share/bash-completion/completions/cay',
  zsh: 'usr/share/zsh/vendor-completions/_cay',
  fish: 'usr/share/fish/vendor_completions.d/cay.fish',
}

const defaults = `# Settings of cay.service, one CAY_* variable a line; see "man cay". To apply them: systemctl restart cay
# CAY_LISTEN=0.0.0.0:5000
# CAY_TLS=auto
`

/** What a package is called and built from. */
interface PackageOptions {
  version: string
  /** The folder that gets the package. */
  folder: string
  /** The path of the executable; by default the released one. */
  executable?: string
}

/** Builds the Debian package of a platform, and returns its path. */
export async function buildDeb(platform: Platform, options: PackageOptions): Promise<string> {
  const { version, folder } = options
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
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(sourceSeconds()) }
  await runCommand(['dpkg-deb', '--build', '--root-owner-group', '-Zgzip', '-z6', tree.path, path], { env })
  return path
}

/** Builds the RPM package of a platform, and returns its path. */
export async function buildRpm(platform: Platform, options: PackageOptions): Promise<string> {
  const { version, folder } = options
  const { rpmbuild = '' } = await bringTools(['rpmbuild'])
  await using work = await temporaryFolder('rpm')
  const tree = join(work.path, 'tree')
  await writePackageTree(tree, platform, options)
  const spec = join(work.path, 'cay.spec')
  await Bun.write(spec, specOf(version, tree))
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(sourceSeconds()), HOME: work.path }
  const target = ['--target', `${platform.machine}-linux`, '--define', `_topdir ${work.path}/top`]
  await runCommand([rpmbuild, '-bb', '--quiet', ...target, spec], { env })
  const name = `cay-${version}-1.${platform.machine}.rpm`
  await mkdir(folder, { recursive: true })
  await runCommand(['mv', join(work.path, 'top', 'RPMS', platform.machine, name), folder])
  return join(folder, name)
}

/** Writes the files of a package to a folder: cay, its unit, its page, and completions. */
async function writePackageTree(
  folder: string,
  platform: Platform,
  { executable = join(releaseFolder, platform.executable) }: PackageOptions,
): Promise<void> {
  const seconds = sourceSeconds()
  const target = join(folder, 'usr/bin/cay')
  await mkdir(dirname(target), { recursive: true })
  await chmod(folder, 0o755)
  await copyFile(executable, target)
  const files: Record<string, string | Uint8Array> = {
    'usr/lib/systemd/system/cay.service': systemdUnit({ executable: '/usr/bin/cay' }),
    [defaultsPath.slice(1)]: defaults,
    'usr/share/man/man1/cay.1.gz': Bun.gzipSync(manPage(seconds), { level: 9 }),
    'usr/share/doc/cay/copyright': await licenseText(),
  }
  const own = await build()
  for (const [shell, path] of Object.entries(completions)) {
    files[path] = await runCommand([own, 'complete', shell])
  }
  for (const [path, content] of Object.entries(files)) await Bun.write(join(folder, path), content)
  for await (const path of new Bun.Glob('**').scan({ cwd: folder, onlyFiles: false, dot: true })) {
    const full = join(folder, path)
    const isFile = path === 'usr/bin/cay' || path in files
    await chmod(full, isFile && path !== 'usr/bin/cay' ? 0o644 : 0o755)
    await utimes(full, seconds, seconds)
  }
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

/** The package contains the executable as it is: nothing is stripped, and nothing is searched for dependencies. */
function specOf(version: string, tree: string): string {
  return `%global __os_install_post %{nil}
%global debug_package %{nil}
%global _build_id_links none
%global _binary_payload w6.gzdio
%global _buildhost cay
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
Name: cay
Version: ${version}
Release: 1
Summary: ${description}
License: ${license}
AutoReqProv: no
Requires: glibc >= 2.17

%description
cay stores images, charts and any other OCI content, private by default, and caches images of other registries.

%install
cp --archive ${tree}/. %{buildroot}
mv %{buildroot}/usr/share/zsh/vendor-completions %{buildroot}/usr/share/zsh/site-functions

%post
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if [ "$1" = 1 ]; then systemctl preset cay.service; else systemctl try-restart cay.service; fi
fi

%preun
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then systemctl disable --now cay.service; fi

%postun
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

%files
%defattr(-,root,root)
/usr/bin/cay
/usr/lib/systemd/system/cay.service
/usr/share/bash-completion/completions/cay
/usr/share/fish/vendor_completions.d/cay.fish
/usr/share/zsh/site-functions/_cay
/usr/share/man/man1/cay.1.gz
%doc /usr/share/doc/cay
%config(noreplace) ${defaultsPath}
`
}
