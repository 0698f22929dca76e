import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { cacheFolder } from '../toolchain/go-tool.ts'

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
const mirror = 'http://deb.debian.org'

/**
 * Downloads the newest version of packages of a suite of Debian, for any architecture, and returns the folder of the .deb
 * files. apt verifies them, and keeps its state in a folder of the cache.
 */
export async function downloadPackages(
  suite: string,
  architecture: string,
  names: readonly string[],
): Promise<string> {
  const folder = join(cacheFolder(), `debian-${suite}-${architecture}`)
  const packages = join(folder, 'packages')
  const settings = join(folder, 'apt.conf')
  await rm(packages, { recursive: true, force: true })
  for (const path of ['lists/partial', 'archives/partial', 'packages']) {
    await mkdir(join(folder, path), { recursive: true })
  }
  const archives = [`debian ${suite}`, `debian ${suite}-updates`, `debian-security ${suite}-security`]
  const sources = archives.map((archive) => `deb [signed-by=${keyring}] ${mirror}/${archive} main\n`)
  await Bun.write(join(folder, 'sources.list'), sources.join(''))
  await Bun.write(join(folder, 'status'), '')
  await Bun.write(settings, settingsOf(folder, architecture))
  const env = { ...process.env, APT_CONFIG: settings }
  await runCommand(['apt-get', 'update'], { env })
  await runCommand(['apt-get', 'download', ...names], { env, cwd: packages })
  return packages
}

/** Returns settings with which apt neither reads nor writes anything of this host. */
function settingsOf(folder: string, architecture: string): string {
  return `#clear APT::Architectures;
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "${folder}";
Dir::State::lists "${folder}/lists";
Dir::State::status "${folder}/status";
Dir::Cache "${folder}";
Dir::Etc::sourcelist "${folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
`
}
