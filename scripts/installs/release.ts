import { equal, match, ok, rejects } from 'node:assert/strict'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../../package.json'
import { runCommand } from '../lib/command.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import type { Trial } from './trial.ts'

/** Everything that is released. */
export const release: Trial = {
  name: 'release',
  tools: ['minisign', 'cyclonedx'],
  cases: {
    async 'the checksums are signed, the SBOM follows its schema, and a changed file is found'({ folder }) {
      const { minisign = '', cyclonedx = '' } = await bringTools(['minisign', 'cyclonedx'])
      const [key, publicKey] = [join(folder, 'key'), join(folder, 'key.pub')]
      await runCommand([minisign, '-G', '-W', '-s', key, '-p', publicKey])
      const env = { ...process.env, CAY_SIGNING_KEY: key }
      await runCommand([process.execPath, 'scripts/main.ts', 'release'], { env, secondsMax: 900 })
      const cwd = join('dist', 'release')
      const verify = () => runCommand([minisign, '-V', '-p', publicKey, '-m', 'SHA256SUMS'], { cwd })
      match(await verify(), new RegExp(`Trusted comment: cay ${version}`))
      const check = () => runCommand(['sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd })
      await check()
      const sums = await Bun.file(join(cwd, 'SHA256SUMS')).text()
      const names = sums
        .trim()
        .split('\n')
        .map((line) => line.split('  ')[1] ?? '')
      for (const kind of [
        /^cay-linux-/,
        /\.exe$/,
        /\.deb$/,
        /\.rpm$/,
        /\.tgz$/,
        /-image\.tar$/,
        /\.yaml$/,
        /\.cdx\.json$/,
      ]) {
        ok(
          names.some((name) => kind.test(name)),
          `${kind} is missing`,
        )
      }
      equal(await runCommand([join(cyclonedx, '..', 'python'), '-c', validate], { cwd }), 'None\n')
      equal(
        (await runCommand([join(cwd, 'cay-linux-x64'), 'licenses'])).length,
        (await text('LICENSES.txt')).length,
      )
      match(await text('NOTES.md'), /^# cay .*\n\n## /)
      await appendFile(join(cwd, 'compose.yaml'), '\n')
      await rejects(check, /compose\.yaml: FAILED/)
      await appendFile(join(cwd, 'SHA256SUMS'), '\n')
      await rejects(verify, /Signature verification failed/)
    },
  },
}

/** Prints None if the SBOM follows the schema, otherwise what is wrong. */
const validate = `
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open('cay.cdx.json').read()))
`

function text(name: string): Promise<string> {
  return Bun.file(join('dist', 'release', name)).text()
}
