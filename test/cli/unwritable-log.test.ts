import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { until } from '../support/until.ts'

test.each(['json', 'pretty'])(
  'serve: the server goes on if it cannot write its log, in the format %s',
  async (format) => {
    const cay = process.env.CAY_EXECUTABLE ?? (await build())
    await using folder = await temporaryFolder('unwritable-log')
    const { path: data } = folder
    const unix = join(data, 'cay.sock')
    const child = Bun.spawn(
      [cay, 'serve', '--listen', '127.0.0.1:0', '--data', data, '--access', 'open', '--log-format', format],
      { stdin: 'ignore', stdout: Bun.file('/dev/full'), stderr: 'pipe', timeout: 20_000 },
    )
    const answers = async () => {
      expect(child.exitCode).toBeNull()
      const response = await fetch('http://localhost/api/v1/users', { unix }).catch(() => undefined)
      return response?.status === 200
    }
    try {
      await until(answers)
      for (let i = 0; i < 3; i++) {
        const change = { method: 'PUT', body: '{}', headers: { 'content-type': 'application/json' }, unix }
        const response = await fetch(`http://localhost/api/v1/repositories/a${i}`, change)
        expect(response.status).toBeLessThan(300)
      }
      expect(await answers()).toBe(true)
    } finally {
      child.kill('SIGTERM')
    }
    expect(await child.exited).toBe(0)
    expect(await child.stderr.text()).toBe('')
  },
  30_000,
)
