#!/usr/bin/perl
# Talks to a node's API socket and watches its worker, for tests of giving back. Debian's perl-base is enough.
#   give_back.pl put SOCKET PATH BODY           one request; prints the answer's body; fails unless its status is 200
#   give_back.pl cpu PROCESS                    nanoseconds of processor time that all its threads have used
#   give_back.pl trigger SOCKET PROCESS [PATH BODY]   input now; prints the milliseconds after which the worker has used
#                                               less than 2 % of a core for 50 ms, looking every 5 ms; 2000 if never
#   give_back.pl contend PROCESS SECONDS        a loop that wants a processor, for so long; prints the milliseconds after
#                                               which the worker has used less than 2 % of a core for 250 ms: two periods
#                                               of a quota, between which the kernel stops everybody for a while
use strict;
use warnings;
use IO::Socket::UNIX;
use Time::HiRes qw(time sleep);

sub request {
    my ($socket, $method, $path, $body) = @_;
    my $link = IO::Socket::UNIX->new(Peer => $socket) or die "cannot connect to $socket: $!\n";
    print $link "$method $path HTTP/1.1\r\nHost: node\r\nContent-Length: " . length($body)
        . "\r\nConnection: close\r\n\r\n$body";
    $link->flush;
    local $/;
    my $answer = <$link>;
    my ($head, $text) = split /\r\n\r\n/, $answer, 2;
    die "$head\n$text\n" unless $head =~ m{^HTTP/1.1 200};
    return $text;
}

sub cpu {
    my ($process) = @_;
    my $sum = 0;
    for my $file (glob "/proc/$process/task/*/schedstat") {
        open(my $in, '<', $file) or next;
        $sum += (split ' ', <$in>)[0];
    }
    return $sum;
}

# Between two items, and on a machine that others use, a worker may stand still for a while.
sub wait_until_it_computes {
    my ($process) = @_;
    my ($before, $used, $deadline) = (cpu($process), 0, time + 30);
    while ($used < 5e6) {
        die "the worker does not compute\n" if time > $deadline;
        sleep 0.1;
        my $now = cpu($process);
        ($used, $before) = ($now - $before, $now);
    }
}

# Milliseconds after $began of the first look after which the next $window seconds cost less than 2 % of a core.
sub stopped_after {
    my ($process, $began, $window) = @_;
    my @seen;
    while (time - $began < 2) {
        push @seen, [time, cpu($process)];
        for my $i (0 .. $#seen) {
            my $span = $seen[-1][0] - $seen[$i][0];
            last if $span < $window;
            return ($seen[$i][0] - $began) * 1000
                if ($seen[-1][1] - $seen[$i][1]) / 1e9 < 0.02 * $span;
        }
        sleep 0.005;
    }
    return 2000;
}

my ($what, @rest) = @ARGV;
if ($what eq 'put') {
    my ($socket, $path, $body) = @rest;
    print request($socket, 'PUT', $path, $body), "\n";
} elsif ($what eq 'cpu') {
    print cpu($rest[0]), "\n";
} elsif ($what eq 'trigger') {
    my ($socket, $process, $path, $body) = @rest;
    $path //= '/api/v1/test/idle';
    $body //= '{"idle_ms":0}';
    wait_until_it_computes($process);
    my $began = time;
    request($socket, $path eq '/api/v1/pause' ? 'POST' : 'PUT', $path, $body);
    printf "%.1f\n", stopped_after($process, $began, 0.05);
} elsif ($what eq 'contend') {
    my ($process, $seconds) = @rest;
    wait_until_it_computes($process);
    my $began = time;
    my $child = fork // die "fork: $!\n";
    if ($child == 0) {
        # Whoever reads our output must not wait for this one.
        close STDOUT;
        alarm $seconds;
        1 while 1;
    }
    printf "%.1f\n", stopped_after($process, $began, 0.25);
} else {
    die "give_back.pl put|cpu|trigger|contend\n";
}
