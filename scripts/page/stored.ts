import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { makeImage } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'
import { password } from './hostile.ts'
import type { Act } from './trouble.ts'

interface Stored {
  /** The data folder of the server. */
  data: string
  /** The `host:port` of another registry, to cache from. */
  upstream: string
}

const cached = 'up.example/library/alpine'

/** Acts on what is on the disk: the cache of another registry, and damaged content. */
export function storedActs({ data, upstream }: Stored): Record<string, Act> {
  return {
    'cancel a job': { account: 'admin', act: cancelJob },
    'use a cache': { account: 'admin', act: (page, origin) => useCache(page, origin, upstream) },
    'see damaged content heal': { account: 'admin', act: (page, origin) => healDamage(page, origin, data) },
  }
}

const registryOf = (origin: string) => new Registry(`admin:${password}@${new URL(origin).host}`)

async function useCache(page: Page, origin: string, upstream: string): Promise<void> {
  const image = await makeImage({ layerCount: 1, layerBytes: 100_000 })
  await new Registry(upstream).pushContent('library/alpine', '3', image)
  await page.goto(`${origin}/cache`)
  await page.getByRole('button', { name: 'Add an upstream' }).click()
  await page.getByLabel('Name', { exact: true }).fill('up.example')
  await page.getByLabel('URL').fill(`http://${upstream}`)
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByRole('button', { name: 'Check: up.example' }).click()
  await page.getByText('up.example responds').waitFor()
  await page.getByText('Last check: ok').waitFor()
  await registryOf(origin).get(`/v2/${cached}/manifests/3`)
  const name = `${cached}:3`
  await page.getByText('0%', { exact: true }).waitFor()
  await registryOf(origin).get(`/v2/${cached}/manifests/3`)
  await page.getByText('50%', { exact: true }).waitFor()
  await page.getByRole('link', { name }).waitFor()
  await page.getByRole('button', { name: `Check ${name} with its upstream` }).click()
  await page.getByText(`${name} is fresh`).waitFor()
  await page.getByRole('button', { name: `Pin ${name}` }).click()
  await page.getByRole('button', { name: `Unpin: ${name}` }).click()
  await page.getByText(`${name} can be evicted again`).waitFor()
  await page.getByRole('button', { name: `Evict ${name}` }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Evict' }).click()
  await page.getByText(`${name} is evicted`).waitFor()
  await page.getByRole('link', { name }).waitFor({ state: 'detached' })
}

/** Verification reads a bounded number of bytes in a second, so it takes long enough to be cancelled. */
async function cancelJob(page: Page, origin: string): Promise<void> {
  const image = await makeImage({ layerCount: 2, layerBytes: 30_000_000 })
  await registryOf(origin).pushContent('infra/large', 'latest', image)
  await page.goto(`${origin}/maintenance`)
  await page.getByRole('button', { name: 'Start: Verification of stored content' }).click()
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.getByText('The job is being cancelled').waitFor()
  await page.getByText('cancelled', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Cancel', exact: true }).waitFor({ state: 'detached' })
}

async function healDamage(page: Page, origin: string, data: string): Promise<void> {
  const registry = registryOf(origin)
  const image = await makeImage({ layerCount: 1, layerBytes: 400_000 })
  await registry.pushContent('infra/damaged', 'latest', image)
  const [largest = new Uint8Array()] = [...image.blobs.values()].sort((a, b) => b.length - a.length)
  await damage(data, largest)
  await page.goto(`${origin}/maintenance/damage`)
  await page.getByRole('button', { name: 'Verify everything now' }).click()
  await page.goto(`${origin}/maintenance`)
  await page.getByText('1 damaged').waitFor()
  await page.goto(`${origin}/maintenance/damage`)
  await page.getByRole('link', { name: 'infra/damaged' }).first().waitFor()
  await registry.pushContent('infra/damaged', 'latest', image)
  await page.reload()
  await page.getByText('No damaged content is known').waitFor()
}

/** Overwrites the file of a blob. */
async function damage(data: string, bytes: Uint8Array): Promise<void> {
  const hex = new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
  const files = await readdir(join(data, 'blobs'), { recursive: true, withFileTypes: true })
  const file = files.find(({ name }) => name === hex)
  if (file === undefined) throw new Error(`there is no file of ${hex}`)
  await Bun.write(join(file.parentPath, file.name), new Uint8Array(bytes.length))
}
