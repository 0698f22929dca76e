import { type Act, by } from './trouble.ts'

/** What keeps a registry small and healthy, done from the page. */
export const upkeepActs: Record<string, Act> = {
  'undo a run of retention': by('admin', async (page) => {
    await page.goto('/maintenance/retention')
    await page.getByRole('button', { name: 'Undo the run' }).first().click()
    await page.getByText('3 tags restored').waitFor()
    await page.goto('/repositories/ci/app')
    await page.getByRole('link', { name: 'pr-1', exact: true }).waitFor()
  }),
  'add, change and delete a policy': by('admin', async (page) => {
    await page.goto('/maintenance/retention')
    await page.getByRole('button', { name: 'Add a policy' }).click()
    await page.getByLabel('Name', { exact: true }).fill('nightly')
    await page.getByLabel('Repositories', { exact: true }).fill('nightly/** beta/**')
    await page.getByLabel('Keep if pushed within days').fill('30')
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    await page.getByText('pushed in the last 30 days').waitFor()
    const card = page.locator('section.card', { has: page.getByRole('heading', { name: 'nightly' }) })
    await card.getByRole('button', { name: 'Change' }).click()
    await page.getByLabel('Tags to keep').fill('v*, release')
    await page.getByRole('button', { name: 'Save' }).click()
    await card.getByText('v*, release').waitFor()
    await page.getByRole('button', { name: 'Delete: nightly' }).click()
    await page.getByRole('button', { name: 'Delete the policy' }).click()
    await card.waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Undo', exact: true }).click()
    await card.getByText('v*, release').waitFor()
  }),
  'set a quota and delete it': by('admin', async (page) => {
    await page.goto('/maintenance/quotas')
    await page.getByRole('button', { name: 'Set a quota' }).click()
    await page.getByLabel('Namespace').fill('infra')
    await page.getByLabel('Size in GiB').fill('0.5')
    await page.getByRole('button', { name: 'Set', exact: true }).click()
    await page.getByText('of 512 MiB').waitFor()
    await page.getByRole('button', { name: 'Delete: infra' }).click()
    await page.getByRole('button', { name: 'Delete the quota' }).click()
    await page.getByText('of 512 MiB').waitFor({ state: 'detached' })
  }),
  'restore several manifests and undo it': by('alice', async (page) => {
    for (const tag of ['2.11.0', '2.12.0']) {
      await page.goto(`/repositories/team/worker/-/manifests/${tag}`)
      await page.getByRole('button', { name: 'Delete' }).click()
      await page.getByRole('button', { name: 'Delete the manifest' }).click()
      await page.getByText('Deleted the manifest with 1 tag').first().waitFor()
    }
    await page.goto('/repositories/team/worker/-/deleted')
    await page.getByRole('checkbox', { name: 'Select all that are loaded' }).check()
    await page.getByRole('button', { name: 'Restore 2' }).click()
    await page.getByText('No deleted manifest can be restored').waitFor()
    await page.getByRole('button', { name: 'Undo' }).click()
    await page.getByRole('checkbox', { name: 'Select sha256' }).nth(1).waitFor()
  }),
}
