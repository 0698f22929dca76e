import type { OpenAPIV3 } from 'openapi-types'
import type { Browser, Page } from 'playwright-core'
import { openPage } from './browser.ts'
import { password } from './hostile.ts'

/** Opens the API's reference, signs in, sends a request from its form, and returns everything that went wrong. */
export async function checkReference(browser: Browser, origin: string): Promise<string[]> {
  const { page, faults } = await openPage(browser, origin)
  await page.goto(`${origin}/swagger`)
  await page.getByText('/v2/{name}/tags/list').first().waitFor()
  faults.push(...(await findMissing(page, origin)))
  faults.push(...(await signIn(page)))
  // The second one has optional parameters that exclude each other.
  faults.push(...(await sendForm(page, '/api/v1/users')), ...(await sendForm(page, '/api/v1/repositories')))
  await page.evaluate('document.fonts.ready.then(() => true)')
  // Scalar tries whether it may evaluate text. It may not, and does without.
  const known = 'console: policy: script-src eval'
  return faults.filter((fault) => fault !== known).map((fault) => `/swagger ${fault}`)
}

/** Returns the tags and operations of the document that the page does not show. */
async function findMissing(page: Page, origin: string): Promise<string[]> {
  const { tags = [], paths } = (await (await fetch(`${origin}/swagger/json`)).json()) as OpenAPIV3.Document
  const operations = Object.values(paths).flatMap((item) => {
    const { parameters, ...methods } = item ?? {}
    return Object.values(methods) as OpenAPIV3.OperationObject[]
  })
  const wanted = [...tags.map(({ description }) => description), ...operations.map(({ summary }) => summary)]
  const shown = String(await page.evaluate('document.body.innerText'))
  return wanted.flatMap((text) => (shown.includes(text ?? '') ? [] : [`not shown: ${text}`]))
}

/** Signs in like a script of the page. */
async function signIn(page: Page): Promise<string[]> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password }),
  }
  const send = `fetch('/api/v1/session', ${JSON.stringify(init)}).then((response) => response.status)`
  const status = await page.evaluate(send)
  return status === 201 ? [] : [`signing in: ${status}`]
}

/** Sends the fresh form of an operation that returns a list. */
async function sendForm(page: Page, path: string): Promise<string[]> {
  await page.getByText(path, { exact: true }).first().click()
  const name = new RegExp(`test request.*${path}\\)?$`, 'i')
  await page.getByRole('button', { name }).first().click()
  const form = page.getByRole('dialog').first()
  const answered = page.waitForResponse((response) => new URL(response.url()).pathname === path)
  await form.getByRole('button', { name: /^send/i }).first().click()
  const response = await answered
  const answer = (await response.json()) as { items?: unknown[] }
  if (response.status() !== 200) return [`${response.url()}: ${JSON.stringify(answer)}`]
  await form.getByText('200 OK').first().waitFor()
  await page.keyboard.press('Escape')
  return answer.items === undefined ? [`the answer is ${JSON.stringify(answer)}`] : []
}
