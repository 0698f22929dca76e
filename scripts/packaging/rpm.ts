import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { description, license } from '../../package.json'
import { runCommand } from '../lib/command.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { defaultsPath, type PackageOptions, writePackageTree } from './package-tree.ts'
import type { Platform } from './platform.ts'

/** Builds the RPM package of a platform, and returns its path. */
export async function buildRpm(platform: Platform, options: PackageOptions): Promise<string> {
  const { version, seconds, folder } = options
  const { rpmbuild = '' } = await bringTools(['rpmbuild'])
  await using work = await temporaryFolder('rpm')
  const tree = join(work.path, 'tree')
  await writePackageTree(tree, platform, options)
  const spec = join(work.path, 'cay.spec')
  await Bun.write(spec, specOf(version, tree))
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(seconds), HOME: work.path }
  const target = ['--target', `${platform.machine}-linux`, '--define', `_topdir ${work.path}/top`]
  await runCommand([rpmbuild, '-bb', '--quiet', ...target, spec], { env })
  const name = `cay-${version}-1.${platform.machine}.rpm`
  await mkdir(folder, { recursive: true })
  await runCommand(['mv', join(work.path, 'top', 'RPMS', platform.machine, name), folder])
  return join(folder, name)
}

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
