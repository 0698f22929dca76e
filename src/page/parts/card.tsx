import type { ComponentChildren } from 'preact'

interface CardProps {
  title: ComponentChildren
  /** Stands beside the title. */
  aside?: ComponentChildren
  children?: ComponentChildren
}

/** A part of a page. */
export function Card({ title, aside, children }: CardProps) {
  const heading = <h2>{title}</h2>
  return (
    <section class="card">
      {aside === undefined ? (
        heading
      ) : (
        <header>
          {heading}
          {aside}
        </header>
      )}
      {children}
    </section>
  )
}
