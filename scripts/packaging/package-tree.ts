import { chmod, copyFile, mkdir, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemdUnit } from '../../src/service/unit.ts'
import { build } from '../build.ts'
import { runCommand } from '../lib/command.ts'
import { licenseText } from './components.ts'
import { releaseFolder } from './executables.ts'
import { manPage } from './man-page.ts'
import type { Platform } from './platform.ts'

/** The configuration file that packages keep. */
export const defaultsPath = '/etc/default/cay'

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
export interface PackageOptions {
  version: string
  /** The time of all files, in seconds since 1970. */
  seconds: number
  /** The folder that gets the package. */
  folder: string
  /** The path of the executable; by default the released one. */
  executable?: string
}

/** Writes the files of a package to a folder: cay, its unit, its page, and completions. */
export async function writePackageTree(
  folder: string,
  platform: Platform,
  { seconds, executable = join(releaseFolder, platform.executable) }: PackageOptions,
): Promise<void> {
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
