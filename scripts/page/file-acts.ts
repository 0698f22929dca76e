import type { Page } from 'playwright-core'
import type { Act } from './trouble.ts'

/** What somebody who may only pull does with the files of images, which a real client built. */
export const fileActs: Record<string, Act> = {
  'browse the files of an image': { account: 'bob', act: browse },
  'find a file and download it': { account: 'bob', act: findAndDownload },
  'compare the files of two images': { account: 'bob', act: compareFiles },
}

async function browse(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/repositories/team/site/-/manifests/1.0`)
  await page.getByRole('link', { name: 'Files', exact: true }).click()
  await page.getByRole('link', { name: 'srv', exact: true }).click()
  await page.waitForURL(/path=srv/)
  await page
    .getByRole('link', { name: /^Download / })
    .first()
    .waitFor()
  await page.getByRole('navigation', { name: 'Directory' }).getByRole('link', { name: 'Root' }).click()
  await page.getByRole('link', { name: 'srv', exact: true }).waitFor()
}

async function findAndDownload(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/repositories/team/site/-/files/1.0`)
  await page.getByRole('searchbox', { name: 'Find below this directory' }).fill('INDEX')
  await page.getByRole('button', { name: 'Find' }).click()
  const link = page.getByRole('link', { name: 'Download index.html' })
  const [download] = await Promise.all([page.waitForEvent('download'), link.click()])
  const name = download.suggestedFilename()
  if (name !== 'index.html') throw new Error(`the download is called ${name}`)
}

async function compareFiles(page: Page, origin: string): Promise<void> {
  const compare = async (to: string) => {
    await page.goto(`${origin}/repositories/team/site/-/compare?from=1.0&to=${to}`)
    await page.getByRole('button', { name: 'Compare files' }).click()
  }
  await compare('1.0')
  await page.getByText('The files are the same').waitFor()
  await compare('2.0')
  await page.getByText('1 added, 1 changed, 1 removed').waitFor()
  for (const change of ['added srv/news.html', 'changed srv/index.html', 'removed srv/assets/photo.bin']) {
    await page.getByRole('row', { name: change }).waitFor()
  }
}
