import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** Asks for a password on a terminal, without showing it; elsewhere it is the first line of standard input. */
export async function readPassword(name: string): Promise<string> {
  if (!process.stdin.isTTY) return (await Bun.stdin.text()).split(/\r?\n/, 1)[0] ?? ''
  process.stderr.write(`Password for ${name}: `)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await lines.question('')
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}
