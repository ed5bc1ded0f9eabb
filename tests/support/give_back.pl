#!/usr/bin/perl
# Talks to a node's API socket and watches its worker, for tests of giving back. Debian's perl-base is enough.
#   give_back.pl put SOCKET PATH BODY           one request; prints the answer's body; fails unless its status is 200
#   give_back.pl cpu PROCESS                    nanoseconds of processor time that all its threads have used
#   give_back.pl trigger SOCKET PROCESS [PATH BODY]   input now; prints the milliseconds after which the worker has used
#                                               less than 2 % of a core for 50 ms, looking every 5 ms; 2000 if never
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
    # Between two items, and on a machine that others use, a worker may stand still for a while.
    my ($before, $used, $deadline) = (cpu($process), 0, time + 30);
    while ($used < 5e6) {
        die "the worker does not compute\n" if time > $deadline;
        sleep 0.1;
        my $now = cpu($process);
        ($used, $before) = ($now - $before, $now);
    }
    my $link_at = time;
    request($socket, $path eq '/api/v1/pause' ? 'POST' : 'PUT', $path, $body);
    my @seen;
    while (time - $link_at < 2) {
        push @seen, [time, cpu($process)];
        # The first look after which the next 50 ms cost less than 2 % of a core.
        for my $i (0 .. $#seen) {
            my $span = $seen[-1][0] - $seen[$i][0];
            last if $span < 0.05;
            if (($seen[-1][1] - $seen[$i][1]) / 1e9 < 0.02 * $span) {
                printf "%.1f\n", ($seen[$i][0] - $link_at) * 1000;
                exit 0;
            }
        }
        sleep 0.005;
    }
    print "2000\n";
} else {
    die "give_back.pl put|cpu|trigger\n";
}
