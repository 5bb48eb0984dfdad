import { describe, expect, it } from 'vitest';
import { StandIn } from './stand-in.js';

abstract class Port {
  abstract ask(): string;
  abstract register(name: string): string;
}

class First extends Port {
  #secret = 'first';
  size = 1;

  override ask(): string {
    return this.#secret;
  }

  override register(name: string): string {
    return `${name} at first`;
  }

  get state(): string {
    return `${this.#secret} of ${this.size}`;
  }

  onlyHere(): string {
    return 'only here';
  }

  onModuleInit(): void {}
}

class Second extends Port {
  override ask = () => 'second';

  override register(name: string): string {
    return `${name} at second`;
  }
}

describe('a stand-in', () => {
  it('answers as the part in force, also through what was taken from it before', () => {
    const standIn = new StandIn<Port>(Port, new First());
    const { face } = standIn;
    const { ask } = face;
    expect([face.ask(), ask()]).toEqual(['first', 'first']);
    standIn.switchTo(new Second());
    expect([face.ask(), ask(), standIn.face === face]).toEqual(['second', 'second', true]);
  });

  it("has what the part's class has beyond the port, as long as the part is there", () => {
    const part = new First();
    const standIn = new StandIn<Port>(Port, part);
    const face = standIn.face as First;
    face.size = 2;
    expect([face.state, face.onlyHere(), part.size]).toEqual(['first of 2', 'only here', 2]);
    standIn.switchTo(new Second());
    expect(['state' in face, 'onlyHere' in face]).toEqual([false, false]);
  });

  it('is an instance of the port, and hides the hooks that Nest calls on the part itself', () => {
    const { face } = new StandIn<Port>(Port, new First());
    expect(face).toBeInstanceOf(Port);
    expect('onModuleInit' in face).toBe(false);
  });

  it('keeps what somebody put around a method', () => {
    const standIn = new StandIn<Port>(Port, new First());
    const ask = standIn.face.ask.bind(standIn.face);
    standIn.face.ask = () => `<${ask()}>`;
    standIn.switchTo(new Second());
    expect(standIn.face.ask()).toBe('<second>');
  });

  it('answers itself what it was told to', () => {
    const standIn = new StandIn<Port>(Port, new First(), { register: (name) => `${name} noted` });
    standIn.switchTo(new Second());
    expect(standIn.face.register('x')).toBe('x noted');
  });
});
