import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { startInProcess } from '../support/server.ts'

interface Setting {
  name: string
  value?: unknown
  configuredIn?: string
}

test('settings: each is shown with the file or flag that sets it', async () => {
  await using folder = await temporaryFolder('settings')
  const file = join(folder.path, 'cay.toml')
  await Bun.write(file, '[gc]\ngrace-seconds = 4000\n\n[http]\nhsts-seconds = 60\n')
  await using server = await startInProcess({ data: folder.path, settings: { 'http.hsts-seconds': '90' } })
  const { settings } = (await (await server.fetch('/api/v1/server')).json()) as { settings: Setting[] }
  const sourceOf = (name: string) => {
    const { value, configuredIn } = settings.find((setting) => setting.name === name) ?? {}
    return [value, configuredIn]
  }
  expect(sourceOf('gc.grace-seconds')).toEqual([4000, file])
  expect(sourceOf('http.hsts-seconds')).toEqual([90, '--http-hsts-seconds'])
  expect(sourceOf('scrub.days')).toEqual([30, undefined])
})
