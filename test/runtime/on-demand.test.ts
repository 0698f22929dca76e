import { expect, test } from 'bun:test'
import { onDemand } from '../../src/runtime/idle-memory.ts'

test('on demand: concurrent first requests build one surface', async () => {
  const steps: string[] = []
  const loaded = Promise.withResolvers<string>()
  const answer = onDemand(
    () => {
      steps.push('load')
      return loaded.promise
    },
    (module) => {
      steps.push('build')
      return { handle: (request) => new Response(`${module} ${new URL(request.url).pathname}`) }
    },
  )
  expect(steps).toEqual([])
  const asked = ['/a', '/b'].map((path) => answer(new Request(`http://localhost${path}`)))
  expect(steps).toEqual(['load'])
  loaded.resolve('from')
  const texts = await Promise.all(asked.map(async (response) => (await response).text()))
  expect(texts).toEqual(['from /a', 'from /b'])
  expect(await (await answer(new Request('http://localhost/c'))).text()).toBe('from /c')
  expect(steps).toEqual(['load', 'build'])
})
