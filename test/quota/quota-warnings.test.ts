import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'
import { until } from '../support/until.ts'

test('quotas: 80 and 95 percent are warnings in the log, events and a metric', async () => {
  await using folder = await temporaryFolder('quota-warnings')
  const data = folder.path
  await Bun.write(`${data}/cay.toml`, '[[quota]]\nnamespace = "alice"\ntags-max = 20\n')
  const image = imageManifest(EMPTY, [])
  /** Starts a server, which looks at the quotas at once, and then adds tags. */
  const warningsThenPush = async (count: number, tags: string[]) => {
    await using server = await startInProcess({ data })
    const events = async () => {
      const found: string[] = []
      for (const type of ['quota.critical', 'quota.warning']) {
        const response = await server.fetch(`/api/v1/events?type=${type}`)
        const { items } = (await response.json()) as { items: { repository: string }[] }
        found.push(...items.map(({ repository }) => `${type} ${repository}`))
      }
      return found
    }
    await until(async () => (await events()).length >= count)
    const logged = server.log().filter(({ namespace }) => namespace === 'alice')
    const metric = /cay_quota_percent\{namespace="alice"\} (\d+)/.exec(
      await (await server.fetch('/metrics')).text(),
    )
    for (const reference of tags) await pushImage(server, 'alice/app', image, [], { reference })
    return { events: await events(), logged: logged.map(({ msg }) => msg), percent: Number(metric?.[1]) }
  }
  const tags = Array.from({ length: 19 }, (_, n) => `t${n}`)
  expect(await warningsThenPush(0, tags.slice(0, 16))).toEqual({ events: [], logged: [], percent: 0 })
  const warning = 'quota.warning alice'
  expect(await warningsThenPush(1, tags.slice(16))).toEqual({
    events: [warning],
    logged: ['a quota is more than 80 % full'],
    percent: 80,
  })
  expect(await warningsThenPush(2, [])).toEqual({
    events: ['quota.critical alice', warning],
    logged: ['a quota is more than 95 % full'],
    percent: 95,
  })
})
