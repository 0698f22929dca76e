import { Check, Copy } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { copyText } from '../../clipboard.ts'
import {
  formatAge,
  formatBytes,
  formatCount,
  formatTime,
  safeUrl,
  shortDigest,
  visible,
} from '../../values/format.ts'
import { now } from '../../values/now.ts'

/** Shows a time relative to now, and exactly on hover. */
export function Time({ at }: { at: string | undefined }) {
  if (at === undefined) return <span class="muted">never</span>
  return (
    <time dateTime={at} title={formatTime(at)}>
      {formatAge(at, now.value)}
    </time>
  )
}

/** Shows a size for people, and exactly on hover. */
export function Bytes({ of }: { of: number }) {
  return (
    <data value={of} title={`${formatCount(of)} bytes`}>
      {formatBytes(of)}
    </data>
  )
}

/** Shows the first digits of a digest, with a button that copies all of it. */
export function DigestText({ of }: { of: string }) {
  return (
    <span class="digest">
      <code title={of}>{shortDigest(of)}</code>
      <CopyButton text={of} what="digest" />
    </span>
  )
}

/** Copies a text. */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const [isCopied, setCopied] = useState(false)
  const copy = async (event: Event) => {
    event.preventDefault()
    event.stopPropagation()
    setCopied(await copyText(text))
    setTimeout(() => setCopied(false), 1500)
  }
  return (
    <button
      type="button"
      class="icon-button small"
      aria-label={`Copy ${what}`}
      title={`Copy ${what}`}
      onClick={copy}
    >
      {isCopied ? <Check aria-hidden /> : <Copy aria-hidden />}
      <span class="hidden" role="status">
        {isCopied ? 'Copied' : ''}
      </span>
    </button>
  )
}

/** Shows a command to copy. */
export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <input
        readOnly
        value={text}
        aria-label="Command"
        onFocus={({ currentTarget }) => currentTarget.select()}
      />
      <CopyButton text={text} what="command" />
    </div>
  )
}

/** Shows text of a client: as a link if it is an address of the web, and with hidden characters made visible. */
export function ClientText({ text }: { text: string }) {
  const url = safeUrl(text)
  if (url === undefined) return <>{visible(text)}</>
  return (
    <a href={url} rel="noreferrer noopener nofollow" target="_blank">
      {visible(text)}
    </a>
  )
}

/** Shows names with their values. Entries without a value are left out. */
export function Facts({ of }: { of: Record<string, ComponentChildren> }) {
  const shown = Object.entries(of).filter(
    ([, value]) => value !== undefined && value !== '' && value !== false,
  )
  return (
    <dl class="facts">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{typeof value === 'string' ? visible(value) : value}</dd>
        </div>
      ))}
    </dl>
  )
}
