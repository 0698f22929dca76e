import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { build } from '../../scripts/build.ts'
import { readEvents } from '../../src/jobs/command.ts'
import { failureOf } from '../support/failure.ts'
import { runCay } from '../support/run-cay.ts'

let executable: string
beforeAll(async () => {
  executable = await build()
}, 60_000)

/** Returns a job in the form of the API. */
function job(more: object) {
  return { id: 'j1', kind: 'gc', state: 'running', progress: { done: 0 }, startedBy: 'admin', ...more }
}

const ENDED = { startedAt: '2026-11-24T12:00:00.000Z', endedAt: '2026-11-24T12:00:01.000Z' }

describe('a job of a server', () => {
  /** The events that the server sends of the job, and whether it then ends the stream. */
  let events: object[] = []
  let isEnding = true
  const asked: string[] = []
  const encoder = new TextEncoder()
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url)
      asked.push(`${request.method} ${pathname}`)
      if (!pathname.endsWith('/events')) return Response.json(job({}))
      const stream = new ReadableStream({
        start(controller) {
          controller.enqueue(encoder.encode(': heartbeat\n\n'))
          for (const event of events)
            controller.enqueue(encoder.encode(`event: progress\ndata: ${JSON.stringify(event)}\n\n`))
          if (isEnding) controller.close()
        },
      })
      return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  afterAll(() => server.stop(true))
  const cay = (line: string) => runCay([...line.split(' '), '--server', `http://127.0.0.1:${server.port}`])

  test('is followed until it ends, as lines without a terminal, and its counts are printed', async () => {
    isEnding = true
    const result = { manifests: 3, blobBytes: 2048 }
    events = [job({ progress: { done: 1, total: 4 } }), job({ state: 'done', result, ...ENDED })]
    const { code, output, errors } = await cay('job watch j1')
    expect(code).toBe(0)
    expect(errors).toBe('gc: running, 1 of 4\n')
    expect(output).toMatch(/^State: +done$/m)
    expect(output).toMatch(/^manifests: +3$/m)
    expect(output).toMatch(/^blob bytes: +2\.0 KiB$/m)
    expect(JSON.parse((await cay('job start gc --yes --json')).output)).toEqual(events[1])
    expect((await cay('job start gc --yes --detach')).output).toBe('started job j1\n')
    expect(asked.filter((one) => one === 'POST /api/v1/jobs')).toHaveLength(2)
  })

  test.each([
    [
      { state: 'failed', error: 'the disk\x1b[2J is gone', ...ENDED },
      1,
      'job j1 failed: the disk [2J is gone',
    ],
    [{ state: 'cancelled', ...ENDED }, 1, 'job j1 was cancelled'],
    [{ state: 'running' }, 5, 'lost the connection to the server before job j1 ended'],
  ])('that ends as %j gives exit code %d', async (end, code, message) => {
    isEnding = true
    events = [job(end)]
    const ended = await cay('job watch j1')
    expect([ended.code, ended.output]).toEqual([code, ''])
    expect(ended.errors).toEndWith(`cay: ${message}\n`)
  })

  test('continues after Ctrl-C, which prints how to follow it again', async () => {
    isEnding = false
    events = [job({ progress: { done: 1, total: 4 } })]
    const child = Bun.spawn(
      [executable, 'job', 'watch', 'j1', '--server', `http://127.0.0.1:${server.port}`],
      {
        env: {},
        stdout: 'pipe',
        stderr: 'pipe',
      },
    )
    const reader = child.stderr.getReader()
    const decoder = new TextDecoder()
    let errors = decoder.decode((await reader.read()).value)
    expect(errors).toBe('gc: running, 1 of 4\n')
    child.kill('SIGINT')
    for (let part = await reader.read(); !part.done; part = await reader.read())
      errors += decoder.decode(part.value)
    expect(await child.exited).toBe(130)
    expect(errors).toContain(
      'the job continues: follow it with cay job watch j1, or cancel it with cay job cancel j1\n',
    )
    expect(asked).not.toContain('DELETE /api/v1/jobs/j1')
  })

  test.skipIf(Bun.which('script') === null)('is shown as a bar on a terminal', async () => {
    isEnding = true
    events = [job({ progress: { done: 1, total: 4 } }), job({ state: 'done', ...ENDED })]
    const command = `${executable} job watch j1 --server http://127.0.0.1:${server.port}`
    const child = Bun.spawn(['script', '--quiet', '--return', '--command', command, '/dev/null'], {
      env: { TERM: 'xterm' },
      stdin: 'ignore',
      stdout: 'pipe',
    })
    const shown = await child.stdout.text()
    expect(await child.exited).toBe(0)
    expect(shown).toContain('gc ████████░░░░░░░░░░░░░░░░░░░░░░ 25% 1 of 4')
    expect(shown).toMatch(/State: +done/)
  })
})

describe('server-sent events', () => {
  const dataOf = async (...chunks: string[]) => {
    const stream = new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
        controller.close()
      },
    })
    return await Array.fromAsync(readEvents(stream))
  }

  test('are read however the stream splits them', async () => {
    const text = ': hello\n\nevent: progress\ndata: {"a":\ndata: 1}\n\ndata:2\r\n\r\nid: 3\n\ndata: cut'
    const expected = ['{"a":\n1}', '2']
    expect(await dataOf(text)).toEqual(expected)
    expect(await dataOf(...text)).toEqual(expected)
    expect(await dataOf('data: é\n', '\n')).toEqual(['é'])
  })

  test('that are too long are refused', async () => {
    const chunks = Array.from({ length: 20 }, () => 'x'.repeat(64 * 1024))
    expect((await failureOf(dataOf('data: ', ...chunks))).message).toContain('too long')
    const lines = Array.from({ length: 20 }, () => `data: ${'x'.repeat(64 * 1024)}\n`)
    expect((await failureOf(dataOf(...lines))).message).toContain('too long')
  })
})
