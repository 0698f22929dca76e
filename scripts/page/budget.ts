import type { Browser } from 'playwright-core'
import { openPage } from './browser.ts'
import { signIn } from './walk.ts'

const shellBytesMax = 100 * 1024
const requestsMax = 12

/** Returns which budgets the first view exceeds: bytes of the shell as sent, and requests. */
export async function checkBudgets(browser: Browser, origin: string): Promise<string[]> {
  const faults: string[] = []
  const bytes = await shellBytes(origin)
  if (bytes > shellBytesMax) faults.push(`the shell has ${bytes} bytes, more than ${shellBytesMax}`)
  const context = await browser.newContext()
  const { page, requests } = await openPage(context, origin)
  await signIn(page, origin, 'admin')
  const before = requests()
  await page.goto(`${origin}/`)
  await page.waitForLoadState('networkidle')
  const count = requests() - before
  if (count > requestsMax) faults.push(`the first view sends ${count} requests, more than ${requestsMax}`)
  await context.close()
  console.log(`the shell has ${bytes} bytes; the first view sends ${count} requests`)
  return faults
}

/** Returns the compressed size of the shell and everything that it names. */
async function shellBytes(origin: string): Promise<number> {
  const shell = await fetch(`${origin}/`)
  const html = await shell.text()
  const paths = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path = '']) => path)
  const responses = await Promise.all(paths.map((path) => fetch(`${origin}${path}`, { method: 'HEAD' })))
  return [shell, ...responses].reduce((sum, { headers }) => sum + Number(headers.get('content-length')), 0)
}
