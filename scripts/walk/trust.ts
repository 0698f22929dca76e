import { match } from 'node:assert/strict'
import { ADDRESS, type Desk } from './desk.ts'

/** Serves other hosts with TLS, and makes each of them trust it. */
export async function serveTeam({ guide, transcript, serving, server, laptop, ci }: Desk): Promise<void> {
  transcript.heading('Serve other hosts with TLS')
  await serving.shell.interrupt()
  const serve = guide.command('cay serve --listen 0.0.0.0:5000 --tls auto')
  const log = await serving.start(serve, /listening.*0\.0\.0\.0:5000.*\n/)
  transcript.output(log)
  match(log, /issued a certificate/)
  const shown = await server.type(guide.command('cay trust'), { lines: 4 })
  const [, fingerprint = '', install = ''] =
    /^SHA-256 (\S+)$[\s\S]*^On this host, (.*) will do this:$/m.exec(shown) ?? []
  await server.type(install, { shows: /ran update-ca-certificates/, lines: 5 })
  const commands = elsewhere(shown)
  for (const other of [laptop, ci]) {
    const untrusted = `skopeo inspect docker://${ADDRESS}/team/app:1.0`
    await other.type(untrusted, { exit: 1, shows: /x509|certificate/, lines: 1 })
    for (const command of commands) {
      const shows = command.startsWith('openssl') ? new RegExp(`Fingerprint=${fingerprint}$`, 'm') : /^/
      await other.type(command, { shows, lines: 2 })
    }
  }
}

/** Returns the commands of `cay trust` for another Debian. */
function elsewhere(shown: string): string[] {
  const lines = shown.split('\n').map((line) => line.trim())
  const from = lines.findIndex((line) => line.startsWith('On a host without cay'))
  const debian = lines.findIndex((line) => line.startsWith('# Debian'))
  const commands = [...lines.slice(from + 1, debian), lines[debian + 1] ?? '']
  return commands
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replace(/\s+#.*/, ''))
}
