import { type Act, by } from './trouble.ts'

/** What somebody who may only pull does with the files of images, which a real client built. */
export const fileActs: Record<string, Act> = {
  'browse the files of an image': by('bob', async (page) => {
    await page.goto('/repositories/team/site/-/manifests/1.0')
    await page.getByRole('link', { name: 'Files', exact: true }).click()
    await page.getByRole('link', { name: 'srv', exact: true }).click()
    await page.waitForURL(/path=srv/)
    await page
      .getByRole('link', { name: /^Download / })
      .first()
      .waitFor()
    await page.getByRole('navigation', { name: 'Directory' }).getByRole('link', { name: 'Root' }).click()
    await page.getByRole('link', { name: 'srv', exact: true }).waitFor()
  }),
  'find a file and download it': by('bob', async (page) => {
    await page.goto('/repositories/team/site/-/files/1.0')
    await page.getByRole('searchbox', { name: 'Find below this directory' }).fill('INDEX')
    await page.getByRole('button', { name: 'Find' }).click()
    const link = page.getByRole('link', { name: 'Download index.html' })
    const [download] = await Promise.all([page.waitForEvent('download'), link.click()])
    const name = download.suggestedFilename()
    if (name !== 'index.html') throw new Error(`the download is called ${name}`)
  }),
  'compare the files of two images': by('bob', async (page) => {
    const compare = async (to: string) => {
      await page.goto(`/repositories/team/site/-/compare?from=1.0&to=${to}`)
      await page.getByRole('button', { name: 'Compare files' }).click()
    }
    await compare('1.0')
    await page.getByText('The files are the same').waitFor()
    await compare('2.0')
    await page.getByText('1 added, 1 changed, 1 removed').waitFor()
    for (const change of ['added srv/news.html', 'changed srv/index.html', 'removed srv/assets/photo.bin']) {
      await page.getByRole('row', { name: change }).waitFor()
    }
  }),
}
