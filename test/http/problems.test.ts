import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SERVERS, type TestServer } from '../support/server.ts'

for (const [kind, start] of SERVERS) {
  describe(`problems, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start()
    }, 60_000)
    afterAll(() => server.stop())

    test('the list of codes and the page of each code are served', async () => {
      const list = await server.fetch('/problems')
      expect(list.status).toBe(200)
      const { items } = (await list.json()) as { items: { type: string; code: string }[] }
      expect(items.map(({ code }) => code)).toContain('NOT_FOUND')
      for (const { type, code } of items) {
        expect(await (await server.fetch(type)).json()).toMatchObject({ type, code })
      }
    })

    test('an unknown code is 404, with a problem whose type has a page', async () => {
      const answer = await server.fetch('/problems/x')
      expect(answer.status).toBe(404)
      const { type } = (await answer.json()) as { type: string }
      expect((await server.fetch(type)).status).toBe(200)
    })
  })
}
